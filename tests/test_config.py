"""The configuration: what is wrong is named in one line, and the schema knows every setting of the library."""

import copy
import dataclasses
import random
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from snakemake.utils import validate

from hounsfield.cohort.settings import CohortSettings, SplitSettings
from hounsfield.config import (
    canonical,
    check_config,
    check_input,
    check_starts,
    check_tables,
    check_trained,
    check_unique_keys,
    complete_config,
    config_schema,
    merged,
    read_config,
    with_external,
)
from hounsfield.errors import ConfigError
from hounsfield.evaluation.settings import EvaluationSettings
from hounsfield.explain.settings import ExplainSettings
from hounsfield.exports.settings import ExportSettings
from hounsfield.models.create import architectures
from hounsfield.report.settings import ReportSettings
from hounsfield.training.settings import TrainingSettings
from hounsfield.tuning.settings import TuningSettings
from hounsfield.volumes.settings import PreprocessingSettings

ROOT = Path(__file__).parents[1]
SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
CONFIG = yaml.safe_load((ROOT / "config/config.yaml").read_text())


def changed(path, value):
    """The demo's configuration with one key set: "training.epochs" and a value."""
    config = copy.deepcopy(CONFIG)
    *parents, last = path.split(".")
    block = config
    for name in parents:
        block = block.setdefault(name, {})
    block[last] = value
    return config


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "config").glob("*.yaml")))
def test_the_configurations_of_the_project_are_sound_and_completed_as_snakemake_does(name):
    config = yaml.safe_load((ROOT / "config" / name).read_text())
    before, complete = copy.deepcopy(config), complete_config(config)
    assert config == before and complete != before
    validate(config, str(ROOT / "workflow/schemas/config.schema.yaml"))
    assert complete == config


def test_the_library_finds_the_schema_of_the_workflow():
    assert config_schema() == SCHEMA


def places(block, path=()):
    """Paths of all keys and items below `block`."""
    pairs = block.items() if isinstance(block, dict) else enumerate(block) if isinstance(block, list) else ()
    found = []
    for key, value in pairs:
        found += [(*path, key), *places(value, (*path, key))]
    return found


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(places(CONFIG)), ANYTHING)
def test_whatever_a_key_is_set_to_is_sound_or_named(path, value):
    config = copy.deepcopy(CONFIG)
    block = config
    for name in path[:-1]:
        block = block[name]
    block[path[-1]] = value
    try:
        check_config(config, SCHEMA)
    except ConfigError as error:
        assert all(line.startswith("config: ") for line in str(error).splitlines())


def built(config):
    """Settings of every stage, as the rules make them from what the schema lets through."""
    training = [config.get("training", {}), *(block.get("training", {}) for block in config["models"].values())]
    for block in training:
        TrainingSettings.from_config(block)
    PreprocessingSettings.from_config(config["preprocessing"])
    CohortSettings.from_config(config["cohort"])
    SplitSettings.from_config(config.get("split", {}))
    EvaluationSettings.from_config(config.get("evaluation", {}))
    ExplainSettings.from_config(config.get("explain", {}))
    ReportSettings.from_config(config.get("report", {}))


@pytest.mark.parametrize("seed", range(4))
def test_damaged_yaml_is_sound_or_named(seed):
    """Characters of the demo's file are cut, doubled or overwritten; what is no YAML, Snakemake names by itself."""
    text, draw = (ROOT / "config/config.yaml").read_text(), random.Random(seed)
    named = 0
    for _ in range(250):
        place = draw.randrange(len(text))
        end = place + draw.randint(0, 30)
        middle = draw.choice(
            ["", text[place:end] * 2, *":-[]{}&*!|>'\"%@`#,?~\n\t\0é", "1e999", "- ", "  ", "<<: ", ".nan"]
        )
        try:
            config = yaml.safe_load(text[:place] + middle + text[end:])
            if isinstance(config, dict):
                check_config(config, SCHEMA)
                built(config)
        except (yaml.YAMLError, ConfigError) as error:
            assert isinstance(error, yaml.YAMLError) or str(error).startswith("config: ")
            named += 1
    assert named > 50


@pytest.mark.parametrize(
    "path, value, message",
    [
        ("training.epoch", 3, "config: training.epoch: unknown key; did you mean 'epochs'?"),
        ("colour", 3, "config: colour: unknown key"),
        ("training.epochs", "many", "config: training.epochs: 'many' is not of type 'integer'"),
        ("training.epochs", 0, "config: training.epochs: 0 is less than the minimum of 1"),
        ("models.vit3d.architecture", "vit4d", "config: models.vit3d.architecture: 'vit4d' is not one of resnet3d"),
        ("models.vit3d.training", {"epocs": 1}, "config: models.vit3d.training.epocs: unknown key; did you mean"),
        ("models.vit3d.training", {"nodes": 2}, "config: models.vit3d.training.nodes: set it in the training block"),
        ("preprocessing.spacing", [1, 1], "config: preprocessing.spacing: [1, 1] is too short"),
        ("name", "../elsewhere", "config: name: '../elsewhere' does not match"),
        ("evaluation.threshold", "best", "config: evaluation.threshold: 'best' is not one of youden"),
        ("training.freeze", "backbone", "config: models.resnet3d: training.freeze would keep random parts"),
        ("training.freeze", "body", "config: training.freeze: 'body' is not valid under any of the given schemas"),
        ("training.layer_decay", 1.5, "config: training.layer_decay: 1.5 is greater than the maximum of 1"),
        ("training.loss.kind", "dice", "config: training.loss.kind: 'dice' is not one of bce"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(path, value, message):
    with pytest.raises(ConfigError) as error:
        check_config(changed(path, value), SCHEMA)
    lines = str(error.value).splitlines()
    assert len(lines) == 1 and lines[0].startswith(message), lines


def test_what_is_missing_is_named():
    config = copy.deepcopy(CONFIG)
    del config["preprocessing"]["spacing"], config["models"]
    with pytest.raises(ConfigError) as error:
        check_config(config, SCHEMA)
    assert str(error.value) == "config: models: is required\nconfig: preprocessing.spacing: is required"


def test_tables_are_looked_for_before_any_work(tmp_path):
    (tmp_path / "volumes").mkdir()
    (tmp_path / "labels.csv").write_text("VolumeName,Lung nodule,Emphisema\n")
    (tmp_path / "labels.tsv").write_text("VolumeName\tLung nodule\n")
    cohort = {"volumes": str(tmp_path / "volumes"), "labels": [str(tmp_path / "labels.csv")], "metadata": []}
    check_tables({"cohort": cohort | {"pathologies": ["Lung nodule"]}})
    check_tables({"cohort": cohort | {"labels": [str(tmp_path / "labels.tsv")], "pathologies": ["Lung nodule"]}})
    with pytest.raises(ConfigError, match=r"no column 'Emphysema'; did you mean 'Emphisema'\?"):
        check_tables({"cohort": cohort | {"pathologies": ["Emphysema"]}})
    with pytest.raises(ConfigError, match=r"none\.csv does not exist"):
        check_tables({"cohort": cohort | {"labels": [str(tmp_path / "none.csv")], "pathologies": ["Lung nodule"]}})
    with pytest.raises(ConfigError, match="is not a folder"):
        check_tables({"cohort": cohort | {"volumes": str(tmp_path / "none"), "pathologies": ["Lung nodule"]}})


@pytest.mark.parametrize(
    "block, settings",
    [
        ("cohort", CohortSettings),
        ("split", SplitSettings),
        ("preprocessing", PreprocessingSettings),
        ("training", TrainingSettings),
        ("evaluation", EvaluationSettings),
        ("explain", ExplainSettings),
        ("report", ReportSettings),
        ("exports", ExportSettings),
        ("tune", TuningSettings),
    ],
)
def test_schema_and_library_know_the_same_settings(block, settings):
    described = SCHEMA["$defs"]["training"] if block == "training" else SCHEMA["properties"][block]
    assert set(described["properties"]) == {field.name for field in dataclasses.fields(settings)}
    for field in dataclasses.fields(settings):
        if dataclasses.is_dataclass(field.default_factory):
            nested = {each.name for each in dataclasses.fields(field.default_factory)}
            assert set(described["properties"][field.name]["properties"]) == nested, field.name


def test_schema_and_library_agree_on_defaults():
    blocks = {"evaluation": EvaluationSettings(), "explain": ExplainSettings(), "report": ReportSettings()}
    blocks |= {"exports": ExportSettings(), "tune": TuningSettings()}
    for block, settings in blocks.items():
        for name, described in SCHEMA["properties"][block]["properties"].items():
            assert canonical(getattr(settings, name)) == described["default"], name


def test_schema_and_library_know_the_same_architectures():
    described = SCHEMA["properties"]["models"]["additionalProperties"]["properties"]["architecture"]
    assert sorted(described["enum"]) == architectures()


def test_every_key_is_explained():
    text = (ROOT / "config/README.md").read_text()
    blocks = [SCHEMA, *SCHEMA["properties"].values(), SCHEMA["$defs"]["training"]]
    blocks.append(SCHEMA["properties"]["models"]["additionalProperties"])
    for block in blocks:
        for name in block.get("properties", {}):
            assert f"`{name}`" in text, name


def test_canonical_settings_do_not_know_the_order_of_keys():
    one, other = {"b": [1, {"y": 2, "x": 1}], "a": None}, {"a": None, "b": [1, {"x": 1, "y": 2}]}
    assert repr(canonical(one)) == repr(canonical(other))


def test_a_models_training_is_laid_over_the_common_one():
    base = {"epochs": 5, "loss": {"kind": "bce", "gamma": 2}}
    assert merged(base, {"loss": {"kind": "focal"}}) == {"epochs": 5, "loss": {"kind": "focal", "gamma": 2}}
    assert base["loss"]["kind"] == "bce"


def two_cohorts(**changes):
    """The demo and another cohort, complete."""
    whole = {"external": "other.yaml", "evaluation": {"bands": {"age": [40]}, "target": 0.3}}
    other = {"name": "other", "seed": 7, "evaluation": {"bands": {"age": [65]}, "target": 0.9}}
    cohort = CONFIG["cohort"] | {"pathologies": ["Emphysema", "Scoliosis", "Lung nodule"], "volumes": "elsewhere"}
    return merged(CONFIG, whole), merged(CONFIG, other) | {"cohort": cohort} | changes


def test_an_external_cohort_brings_its_patients_and_nothing_of_the_training():
    config, other = two_cohorts()
    del other["demo"]
    other["training"] = {"epochs": 1}
    result = with_external(config, other)
    assert (result["name"], result["seed"]) == ("other", 7) and "demo" not in result
    assert result["cohort"] == other["cohort"] | {"pathologies": ["Lung nodule", "Emphysema"]}  # in the networks' order
    for key in ("preprocessing", "training", "models", "seeds"):
        assert result[key] == config[key]
    bands = {"age": [65]} | {key: edges for key, edges in CONFIG["evaluation"]["bands"].items() if key != "age"}
    assert result["evaluation"] == config["evaluation"] | {"bands": bands}
    assert result["internal"]["name"] == config["name"]
    assert result["internal"]["pathologies"] == config["cohort"]["pathologies"]
    split = SplitSettings.from_config(result["split"])
    assert split.fractions["test"] == 1 and split.require_positives == ()


def test_an_external_cohort_that_cannot_be_one_is_named(tmp_path):
    config, other = two_cohorts()
    with pytest.raises(ConfigError, match="another name"):
        with_external(config, other | {"name": config["name"]})
    with pytest.raises(ConfigError, match="none of the pathologies"):
        with_external(config, other | {"cohort": other["cohort"] | {"pathologies": ["Scoliosis"]}})
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config(tmp_path / "absent.yaml")
    (tmp_path / "list.yaml").write_text("- a\n")
    with pytest.raises(ConfigError, match="is no configuration"):
        read_config(tmp_path / "list.yaml")
    with pytest.raises(ConfigError, match="config: input"):
        check_config(config | {"input": "new"}, SCHEMA)


def test_networks_that_are_not_there_are_asked_for_in_one_line(tmp_path):
    config = with_external(*two_cohorts())
    missing = tmp_path / "phantoms/models/resnet3d/seed0/best.pth"
    with pytest.raises(ConfigError, match=f"{missing} is missing; train it first"):
        check_trained(config, "external", tmp_path)
    for model in config["models"]:
        folder = tmp_path / "phantoms/models" / model / "seed0"
        folder.mkdir(parents=True)
        (folder / "best.pth").touch()
    check_trained(config, "external", tmp_path)
    (tmp_path / "other/models").mkdir(parents=True)
    with pytest.raises(ConfigError, match="holds networks trained on that cohort"):
        check_trained(config, "external", tmp_path)


def test_a_folder_of_new_scans_must_be_one_that_results_can_be_named_after(tmp_path):
    check_input({"input": str(tmp_path)})
    with pytest.raises(ConfigError, match="is not a folder"):
        check_input({"input": str(tmp_path / "absent")})
    (tmp_path / "a {b}").mkdir()
    with pytest.raises(ConfigError, match=r"rename 'a \{b\}'"):
        check_input({"input": str(tmp_path / "a {b}")})


def test_files_that_training_starts_from_are_there_before_any_work(tmp_path):
    first = tmp_path / "vit-seed0-last.pth"
    first.write_bytes(b"")
    block = {"architecture": "vit3d", "variant": "tiny"}
    template = str(tmp_path / "{model}-seed{seed}-last.pth")
    config = {"models": {"vit": block}, "training": {"continue_from": template}, "seeds": [0]}
    check_starts(config)
    with pytest.raises(ConfigError, match=r"models\.vit\.training\.continue_from: there is no file .*vit-seed1-last"):
        check_starts(config | {"seeds": [0, 1]})
    with pytest.raises(ConfigError, match=r"models\.vit\.weights: there is no file nowhere\.pth"):
        check_starts({"models": {"vit": block | {"weights": "nowhere.pth"}}})
    with pytest.raises(ConfigError, match="not both"):
        check_starts(config | {"models": {"vit": block | {"weights": str(first)}}})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name: a\nseed: 1\nname: b\n", "line 3: name is given twice"),
        ("models:\n  a: {variant: '10', variant: '18'}\n", "line 2: models.a.variant is given twice"),
        ("cohort:\n  subgroups:\n    sex: A\n    age: B\n    sex: C\n", "line 5: cohort.subgroups.sex is given twice"),
        ("list:\n- {a: 1}\n- {a: 1, a: 2}\n", "line 3: list.a is given twice"),
    ],
)
def test_a_key_that_stands_twice_is_named_with_its_line(tmp_path, text, told):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        check_unique_keys(tmp_path / "config.yaml")
    assert str(caught.value) == f"{tmp_path / 'config.yaml'}: {told}; remove one of the two"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"training": {"learning_rate": float("nan")}}, "training.learning_rate: nan is no number"),
        ({"cohort": {"max_excluded_fraction": float("inf")}}, "cohort.max_excluded_fraction: inf is no number"),
        ({"training": {"windows": [[float("-inf"), 0]]}}, "training.windows: -inf is no number"),
        ({"name": "demo\n"}, "name: 'demo\\n' has a character that cannot be seen"),
        ({"cohort": {"pathologies": ["a\u200bb"]}}, "cohort.pathologies: 'a\\u200bb' has a character"),
        ({"models": {3: {}}}, "models.3: is no text; write it in quotes, '3'"),
        ({"models": {"vit\n": {}}}, "models: the name 'vit\\n' has a character that cannot be seen"),
        ({"seed": 2**64}, "seed: 18446744073709551616 is greater than the maximum of 4294967295"),
        ({"seeds": [0, 2**70]}, "is greater than the maximum"),
    ],
)
def test_values_that_yaml_allows_and_nobody_means_are_refused_by_key(change, told):
    with pytest.raises(ConfigError) as caught:
        complete_config(merged(CONFIG, change))
    assert f"config: {told}" in str(caught.value) or told in str(caught.value)


def test_off_means_off_and_a_tables_words_may_be_keys():
    model = next(iter(CONFIG["models"]))
    config = merged(CONFIG, {"training": {"amp": False}, "cohort": {"uncertain": {True: 1, False: 0, -1: "mask"}}})
    complete = complete_config(config)
    assert complete["training"]["amp"] == "off"
    assert CohortSettings.from_config(canonical(complete["cohort"])).uncertain == {"true": 1, "false": 0, "-1": "mask"}
    own = complete_config(merged(CONFIG, {"models": {model: {"training": {"amp": False}}}}))
    assert own["models"][model]["training"]["amp"] == "off"


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ((True, "", -1), {"true", "", "-1"}),
        (("-1", None, 1.5), {"-1", "null", "1.5"}),
        ((False, "yes"), {"false", "yes"}),
    ],
)
def test_keys_of_all_kinds_are_words_of_a_table(keys, words):
    complete = complete_config(merged(CONFIG, {"cohort": {"uncertain": dict.fromkeys(keys, "mask")}}))
    assert canonical(complete)["cohort"]["uncertain"].keys() - {"-1", ""} == words - {"-1", ""}
    values = dict.fromkeys(keys, "test")
    assert set(canonical(complete_config(merged(CONFIG, {"split": {"values": values}})))["split"]["values"]) >= words


@pytest.mark.parametrize("one, other", [("yes", "1"), ("true", "yes"), ("no", "0"), ("010", "8"), ("null", "~")])
def test_keys_that_yaml_makes_one_of_are_named(tmp_path, one, other):
    path = tmp_path / "config.yaml"
    path.write_text(f"cohort:\n  uncertain: {{{one}: 1, x: 0,\n    {other}: mask}}\n")
    with pytest.raises(ConfigError, match=f"line 3: cohort.uncertain.{other} is the same to YAML as {one}; write both"):
        check_unique_keys(path)
    path.write_text(f"cohort: {{uncertain: {{'{one}': 1, '{other}': mask, {one}: 0}}}}\n")
    check_unique_keys(path)


def test_merged_blocks_and_dates_are_no_duplicates(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("a: &a {x: 1}\nb: &b {y: 1}\nc: {<<: *a, <<: *b, x: 2}\n2020-01-01: 1\n[1, 2]: 3\n")
    check_unique_keys(path)


def test_a_column_that_yaml_takes_for_a_truth_is_to_be_quoted():
    with pytest.raises(ConfigError, match=r"cohort\.patient_column: False is not of type .* write a word in quotes"):
        complete_config(merged(CONFIG, {"cohort": {"patient_column": False}}))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"pathologies": ["patient"]}, "'patient' is a column of the workflow's own tables"),
        ({"pathologies": ["recon"]}, r"'recon' is the column of cohort\.volume_pattern \(\?P<recon>\), and no label"),
        (
            {"pathologies": ["ID"], "patient_column": "ID"},
            r"'ID' is the column of cohort\.patient_column, and no label",
        ),
        ({"pathologies": ["Sex"], "subgroups": {"sex": "Sex"}}, r"'Sex' is the column of cohort\.subgroups\.sex"),
    ],
)
def test_a_label_named_like_another_column_is_refused(changes, told):
    with pytest.raises(ConfigError, match=told):
        CohortSettings.from_config({"volumes": "v", "labels": ["l.csv"]} | changes)
