"""`split.folds`: a training for each fold, each patient scored by the network that did not see them."""

import subprocess
import sys

import pandas as pd
import pytest

from hounsfield.tables import read_table

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

FOLDS = ("", "folds/1/")


def test_one_command_trains_and_pools_all_folds(copy):
    del copy.config["models"]["resnet"]
    copy.config["split"] |= {"folds": 2, "require_positives": ["test"]}
    copy.config["baselines"] = {"meta": {"kind": "metadata"}}
    copy.run()
    assert copy.would_run() == set()

    datasets = [read_table(copy.results(f"{fold}cohort/dataset.tsv"), ["volume", "patient", "split"]) for fold in FOLDS]
    splits = pd.concat([dataset.set_index("volume")["split"] for dataset in datasets], axis=1)
    assert ((splits == "test").all(axis=1) | ((splits == "val").sum(axis=1) == 1)).all()
    assert (splits == "val").any(axis=0).all() and (splits == "test").any(axis=None)

    for fold, dataset in zip(FOLDS, datasets, strict=True):
        scored = read_table(copy.results(f"{fold}predictions/vit/seed0/val.tsv"), ["volume"])["volume"]
        assert set(scored) == set(dataset.loc[dataset["split"] == "val", "volume"])
        assert copy.results(f"{fold}models/vit/seed0/best.pth").exists()
    assert not copy.results("folds/1/cohort/shards").exists()  # volumes are prepared once

    pooled = read_table(copy.results("comparison/folds.tsv"), ["model", "pathology", "metric"])
    assert set(pooled["model"]) == {"vit", "meta"}
    ensembles = read_table(copy.results("comparison/ensembles.tsv"), ["ensemble", "metric"])
    assert "vit, 2 folds" in set(ensembles.iloc[:, 0])
    points = copy.results("comparison/operating_points/vit-2-folds.tsv")
    page = copy.results("report/index.html").read_text()
    assert "Cross-validation, within folds" in page and "Each model was trained under one seed" in page
    assert "folds/1/models/vit/seed0/best.pth" in page

    networks = [copy.results(f"{fold}models/vit/seed0/best.pth") for fold in FOLDS]
    command = [sys.executable, "-m", "hounsfield", "predict", "--model", *networks, "--operating-points", points]
    command += ["--input", copy.results("demo/volumes"), "--output", "scores.tsv"]
    subprocess.run(list(map(str, command)), cwd=copy.folder, check=True)
    assert read_table(copy.folder / "scores.tsv", ["volume"])["finding"].isin([0, 1]).all()

    # A single fold is a run as without folds.
    copy.config["split"]["fold"] = 1
    planned = copy.would_run()
    assert {"Check the splits and write the dataset of tiny", "Train vit, seed 0, for tiny"} <= planned
    assert not any("folds/" in message for message in planned)
