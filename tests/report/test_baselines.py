"""Baselines on the page: among the models, named for what they are, and a plain word where labels leak."""

import shutil

import numpy as np
import pandas as pd
import pytest

from hounsfield.report.page import write_report
from hounsfield.tables import write_table

BLOCKS = {"meta": {"kind": "metadata"}, "probe": {"kind": "linear_probe", "model": "resnet3d"}}
CHANCE = (0.4, 0.6)


@pytest.fixture
def said(make_run):
    """A function: the page's text after the AUROC's intervals of a baseline are set to a (low, high) for each label."""

    def page(name, *intervals):
        run = make_run(models=("resnet3d", *BLOCKS))
        for baseline in BLOCKS:
            for folder in ("models", "explanations"):
                shutil.rmtree(run.folder / folder / baseline)
        tables = []
        for baseline in BLOCKS:
            table = pd.DataFrame({"model": baseline, "pathology": run.pathologies})
            table[["low", "high"]] = intervals if baseline == name else CHANCE
            table["roc_auc"] = table[["low", "high"]].mean(axis=1)
            beyond = (table["low"] > 0.5) | (table["high"] < 0.5)
            tables.append(table.assign(beyond_chance=np.where(beyond, "yes", "no")))
        write_table(pd.concat(tables), run.folder / "comparison/chance.tsv")
        write_report(run.folder, run.page, run.config | {"baselines": BLOCKS}, ["resnet3d"], run.seeds)
        return " ".join(run.page.read_text(encoding="utf-8").split())

    return page


def test_baselines_are_shown_among_the_models_and_named(said):
    page = said("meta", (0.4, 0.6), (0.3, 0.7), (0.45, 0.55))
    assert "meta is a baseline: what metadata tell without a voxel." in page
    assert "probe is a baseline: logistic regression on the features of resnet3d." in page
    assert page.count('scope="row">meta</th>') > 2
    assert "sees no voxel" not in page


def test_a_label_that_leaks_is_named(said):
    page = said("meta", (0.6, 0.8), (0.3, 0.7), (0.2, 0.4))
    assert "meta sees no voxel, and yet its AUROC is beyond chance for 2 of 3 labels, all labels counted" in page
    assert "Lung nodule (0.700, 0.600 to 0.800)" in page and "(0.300, 0.200 to 0.400)" in page
    assert "Pleural effusion (0." not in page


def test_a_probe_that_scores_well_is_no_leak(said):
    assert "sees no voxel" not in said("probe", (0.6, 0.8), (0.3, 0.7), (0.2, 0.4))


def test_an_undefined_interval_is_no_leak(said):
    assert "sees no voxel" not in said("meta", (np.nan, np.nan), (0.3, 0.7), (0.4, 0.6))
