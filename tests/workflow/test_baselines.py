"""Baselines beside the networks: in the comparison and on the page, without a training."""

import pytest

from hounsfield.tables import read_table

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

NAMES = ["volume", "scan", "patient"]


def test_added_baselines_are_compared_like_models_and_train_nothing(copy):
    copy.config["baselines"] = {
        "meta": {"kind": "metadata"},
        "learned": {"kind": "linear_probe", "model": "resnet"},
        "floor": {"kind": "linear_probe", "model": "vit", "trained": False},
    }
    planned = copy.would_run()
    fitted = {"Score meta without a voxel, seed 0, for tiny", "Probe the features of learned, seed 0, for tiny"}
    assert fitted <= planned
    assert not any(message.startswith(("Train", "Show", "Measure", "Put")) for message in planned)
    copy.run()
    assert copy.would_run() == set()
    of_network = read_table(copy.results("predictions/resnet/seed0/test.tsv"), NAMES)
    for name in copy.config["baselines"]:
        table = read_table(copy.results(f"predictions/{name}/seed0/test.tsv"), NAMES)
        assert list(table.columns) == list(of_network.columns)
        labels = [*NAMES, *(column for column in table if column.startswith("label "))]
        assert table[labels].equals(of_network[labels])
        assert len(read_table(copy.results(f"metrics/{name}/seed0/per_pathology.tsv"), ["pathology"])) == 3
    compared = {name: read_table(copy.results(f"comparison/{name}.tsv")) for name in ("models", "pairs", "cost")}
    models = {"resnet", "vit", *copy.config["baselines"]}
    assert set(compared["models"]["model"]) == models
    assert set(compared["pairs"]["model_a"]) | set(compared["pairs"]["model_b"]) == models
    assert set(compared["cost"]["model"]) == {"resnet", "vit"}
    assert read_table(copy.results("comparison/ensembles.tsv"))["members"].unique().tolist() == [2]
    page = copy.results("report/index.html").read_text()
    assert "meta is a baseline" in page and "learned is a baseline" in page
    # Another metric, or another baseline, concerns no network.
    copy.config["baselines"]["meta"]["geometry"] = False
    messages = {"Score meta without a voxel, seed 0, for tiny", "Score meta, seed 0, for tiny"}
    assert copy.would_run() == messages | {"Compare the models on the same resamples", "Write the report"}
