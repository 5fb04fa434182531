"""Only what changed runs again."""

import shutil

import pytest

from hounsfield.tables import read_table

pytestmark = pytest.mark.workflow

COMPARED = {"Compare the models on the same resamples", "Write the report"}


def after_training(model):
    predictions = {f"Score {split} with {model}, seed 0, for tiny" for split in ("val", "test")}
    alone = {f"Train {model}, seed 0, for tiny", f"Score {model}, seed 0, for tiny", f"Show where {model} looks"}
    return alone | {f"Measure what {model} costs to use"} | COMPARED | predictions


def test_nothing_changed_nothing_to_do(copy):
    assert copy.would_run() == set()


def test_a_setting_of_one_model_concerns_that_model(copy):
    copy.config["models"]["vit"]["training"] = {"learning_rate": 0.002}
    assert copy.would_run() == after_training("vit")


def test_a_change_of_one_architecture_concerns_its_models(copy):
    copy.edit("scripts/hounsfield/models/vit3d.py", '"patch_size": 16', '"patch_size": 8')
    jobs = copy.would_run()
    assert "Train vit, seed 0, for tiny" in jobs and "Train resnet, seed 0, for tiny" not in jobs


def test_a_comment_or_docstring_in_the_trainer_is_no_change(copy):
    copy.edit("scripts/hounsfield/training/trainer.py", '"""Training: from', '"""Here is training: from')
    copy.edit(
        "scripts/hounsfield/training/trainer.py", "    state.model.train()", "    # A comment.\n    state.model.train()"
    )
    assert copy.would_run() == set()


def test_a_change_in_the_metrics_trains_nothing(copy):
    copy.edit("scripts/hounsfield/evaluation/metrics.py", "area / (true * false)", "1 * area / (true * false)")
    assert copy.would_run() == COMPARED | {"Score resnet, seed 0, for tiny", "Score vit, seed 0, for tiny"}


def test_a_change_in_the_page_makes_the_page(copy):
    copy.edit("scripts/hounsfield/report/sections.py", '"AUROC, macro"', '"Macro AUROC"')
    assert copy.would_run() == {"Write the report"}


def test_jobs_run_the_code_beside_the_workflow(copy):
    """And not the installed library, of which this is a copy."""
    copy.edit("scripts/hounsfield/evaluation/score.py", '"low", "high", "labels"', '"from", "to", "labels"')
    target = copy.results("metrics/vit/seed0/overall.tsv")
    copy.run(target.relative_to(copy.folder))
    assert target.read_text().startswith("metric\tvalue\tfrom\tto\t")


def test_the_order_of_keys_means_nothing(copy):
    def reverse(value):
        return {key: reverse(value[key]) for key in reversed(value)} if isinstance(value, dict) else value

    copy.config = reverse(copy.config)
    assert copy.would_run() <= {"Write the report"}  # it prints the configuration as it was written


def test_what_decides_no_result_plans_nothing(copy):
    copy.config["wandb"] = {"mode": "disabled", "project": "other"}
    copy.config["threads"] = 2
    copy.config["training"] |= {"cache_gb": 0.5, "checkpoint_minutes": 3, "gpu": 2}
    copy.config["models"]["vit"]["training"] = {"cache_gb": 0}
    assert copy.would_run() <= {"Write the report"}


def stored(copy):
    return {path: path.stat().st_mtime_ns for path in (copy.folder / "results/store").rglob("*.ct")}


@pytest.mark.slow
def test_preprocessing_changed_and_changed_back_recomputes_no_volume(copy):
    target = copy.results("cohort/dataset.tsv").relative_to(copy.folder)
    before = stored(copy)
    copy.config["preprocessing"]["spacing"] = [14, 12, 12]
    shards = {f"Put the volumes of shard {number:02d} into the store" for number in range(3)}
    assert shards | after_training("vit") | after_training("resnet") <= copy.would_run()
    copy.run(target)
    both = stored(copy)
    assert len(both) == 2 * len(before)
    copy.config["preprocessing"]["spacing"] = [12.0, 12, 12]
    copy.run(target)
    assert stored(copy) == both


def test_an_added_volume_is_one_volume_of_work(copy):
    """The user's own data now: the same files and tables, without the block that paints them."""
    del copy.config["demo"]
    shutil.rmtree(copy.folder / "results/store")
    source, tables = copy.results("demo"), {}
    for name in ("labels", "metadata"):
        table = (source / f"{name}.csv").read_text().splitlines(keepends=True)
        tables[name] = table
        (source / f"{name}.csv").write_text("".join(table[:-1]))
    copy.config["name"] = "own"
    target = "results/own/cohort/dataset.tsv"
    copy.run(target)
    before, shards = stored(copy), _shards(copy)
    for name, table in tables.items():
        (source / f"{name}.csv").write_text("".join(table))
    output = copy.run(target)
    assert output.count(": Put the volumes of shard") == 1
    after = stored(copy)
    assert {path: after[path] for path in before} == before
    assert len(after) == len(before) + 1
    changed = [name for name, text in _shards(copy).items() if text != shards[name]]
    assert len(changed) == 1
    assert len(read_table(copy.folder / target)) == len(tables["labels"]) - 1
    assert ": Put the volumes of shard" not in copy.run(target, "--forcerun", "manifest")


def _shards(copy):
    return {path.name: path.read_text() for path in copy.results("cohort/shards").glob("*.tsv")}
