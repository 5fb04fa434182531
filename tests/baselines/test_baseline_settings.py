"""The `baselines` block: completed by the rest of the configuration, and checked against it."""

import dataclasses
from pathlib import Path

import pytest
import yaml

from hounsfield.baselines.settings import KINDS, complete_baselines
from hounsfield.errors import ConfigError

ROOT = Path(__file__).parents[2]
CONFIG = {
    "cohort": {"subgroups": {"sex": "PatientSex", "age": "PatientAge"}},
    "models": {"resnet": {"weights": "w.pth"}, "vit": {}},
}


def complete(**blocks):
    return complete_baselines(CONFIG | {"baselines": blocks})


def test_defaults_come_from_the_rest():
    assert complete(meta={"kind": "metadata"})["meta"].columns == ("age", "sex")
    probes = complete(
        given={"kind": "linear_probe", "model": "resnet"},
        learned={"kind": "linear_probe", "model": "vit"},
        both={"kind": "linear_probe", "model": "resnet", "trained": True},
        floor={"kind": "linear_probe", "model": "vit", "trained": False},
    )
    trained = {name: probe.trained for name, probe in probes.items()}
    assert trained == {"given": False, "learned": True, "both": True, "floor": False}
    assert complete_baselines(CONFIG) == {}


@pytest.mark.parametrize(
    "blocks, message",
    [
        ({"vit": {"kind": "metadata"}}, "baselines.vit: a model has this name too"),
        ({"m": {"kind": "metadata", "model": "vit"}}, "baselines.m.model: unknown key"),
        ({"m": {"kind": "metadata", "columns": ["kernel"]}}, "baselines.m.columns: 'kernel' is not one of cohort"),
        ({"m": {"kind": "metadata", "columns": [], "geometry": False}}, "baselines.m: has nothing to look at"),
        ({"p": {"kind": "linear_probe"}}, "baselines.p.model: is required"),
        ({"p": {"kind": "linear_probe", "model": "net"}}, "baselines.p.model: 'net' is not one of resnet, vit"),
        ({"p": {"kind": "linear_probe", "model": "vit", "columns": []}}, "baselines.p.columns: unknown key"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(blocks, message):
    with pytest.raises(ConfigError, match=f"^config: {message}") as error:
        complete(**blocks)
    assert "\n" not in str(error.value)


def test_schema_and_documentation_know_the_same_keys():
    schema = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
    described = schema["properties"]["baselines"]["additionalProperties"]["properties"]
    assert set(described) == {field.name for kind in KINDS.values() for field in dataclasses.fields(kind)}
    assert set(described["kind"]["enum"]) == set(KINDS)
    text = (ROOT / "config/README.md").read_text()
    assert all(f"| `{name}` |" in text for name in described)
