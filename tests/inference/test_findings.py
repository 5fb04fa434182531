"""From logits to findings, of one network and of several."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import expit

from hounsfield.errors import CheckpointError, TableError
from hounsfield.inference.findings import (
    as_findings,
    calibrated_probabilities,
    read_networks,
    usual_points,
    with_points,
)
from hounsfield.inference.scans import FINDINGS, gather_findings
from hounsfield.tables import write_table
from hounsfield.training.checkpoints import save_checkpoint

NAMES = ["nodule", "effusion"]


def points(threshold=0.4, scale=1.0, offset=0.0):
    return pd.DataFrame({"pathology": NAMES, "scale": scale, "offset": offset, "threshold": threshold})


@pytest.fixture
def trained(tmp_path):
    """A function that leaves a checkpoint where runs leave it, perhaps with its operating points."""

    def make(run, table=None, **changes):
        path = tmp_path / run / "models/m/seed0/best.pth"
        path.parent.mkdir(parents=True)
        content = {"pathologies": NAMES, "preprocessing": {"spacing": [4, 4, 4], "shape": [8, 8, 8]}} | changes
        model = {"architecture": "resnet3d", "variant": "10", "options": {}, "in_channels": 1}
        content |= {"model": model | {"shape": content["preprocessing"]["shape"]}, "windows": [[-1000, 400]]}
        save_checkpoint(content | {"weights": {"conv1.weight": torch.zeros(1)}}, path)
        if table is not None:
            write_table(table, usual_points(path))
        return path

    return make


def test_an_ensemble_has_no_threshold_but_its_own(trained, tmp_path, caplog):
    paths = [trained("a", points(0.2, 2.0)), trained("b", points(0.6, 0.5))]
    networks, thresholds = with_points(read_networks(paths), None)
    assert thresholds.isna().all() and "no finding is called" in caplog.text
    assert [network.points["scale"].iloc[0] for network in networks] == [2.0, 0.5]
    write_table(points(0.45), tmp_path / "own.tsv")
    networks, thresholds = with_points(read_networks(paths), tmp_path / "own.tsv")
    assert thresholds.to_dict() == dict.fromkeys(NAMES, 0.45)
    assert [network.points["scale"].iloc[0] for network in networks] == [2.0, 0.5]
    with pytest.raises(TableError, match="of a single network"):
        with_points(read_networks(paths), usual_points(paths[0]))


def test_a_single_network_has_those_beside_it_or_those_given(trained, tmp_path):
    path = trained("a", points(0.2, 2.0))
    (network,), thresholds = with_points(read_networks([path]), None)
    assert thresholds["nodule"] == 0.2 and network.points["scale"]["nodule"] == 2
    write_table(points(0.3, 3.0), tmp_path / "given.tsv")
    (network,), thresholds = with_points(read_networks([path]), tmp_path / "given.tsv")
    assert thresholds["nodule"] == 0.3 and network.points["scale"]["nodule"] == 3


def test_networks_that_do_not_go_together_are_named(trained):
    first = trained("a", points())
    with pytest.raises(TableError, match=r"operating_points\.tsv: is missing"):
        read_networks([first, trained("b")])
    with pytest.raises(CheckpointError, match="differ in their pathologies"):
        read_networks([first, trained("c", pathologies=NAMES[::-1])])
    with pytest.raises(CheckpointError, match="differ in their preprocessing"):
        read_networks([first, trained("d", points(), preprocessing={"spacing": [4, 4, 4], "shape": [9, 9, 9]})])
    with pytest.raises(TableError, match="no row for 'effusion'"):
        read_networks([trained("e", points()[:1])])


def test_probabilities_are_calibrated_and_called_at_the_threshold():
    logits = pd.DataFrame({"logit effusion": [0.0, 1.0], "logit nodule": [-1.0, 2.0]})
    table = points(0.5, scale=2.0, offset=1.0).set_index("pathology")
    probabilities = calibrated_probabilities(logits, table)
    np.testing.assert_array_equal(probabilities, expit([[-1.0, 1.0], [5.0, 3.0]]))
    findings = as_findings(pd.Series(["b", "a"]), probabilities, pd.Series({"nodule": 0.5, "effusion": np.nan}))
    assert list(findings) == FINDINGS
    assert findings["volume"].tolist() == ["a", "a", "b", "b"]
    assert findings["pathology"].tolist() == NAMES * 2
    assert findings["finding"].tolist() == [1, pd.NA, 0, pd.NA]
    exact = as_findings(pd.Series(["a"]), np.array([[0.5]]), pd.Series({"nodule": 0.5}))
    assert exact["finding"].tolist() == [1]


def test_shards_without_scans_add_nothing():
    table = as_findings(pd.Series(["b", "a"]), np.array([[0.1], [0.9]]), pd.Series({"nodule": 0.5}))
    empty = pd.DataFrame(columns=FINDINGS)
    pd.testing.assert_frame_equal(gather_findings([table[:1], empty, table[1:]]), table)
    assert list(gather_findings([empty])) == FINDINGS
