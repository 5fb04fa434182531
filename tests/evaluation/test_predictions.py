"""Predictions gathered by scan."""

import numpy as np
import pytest
from scipy.special import expit

from hounsfield.errors import TableError
from hounsfield.evaluation.predictions import gather_predictions

NAMES = ["A", "B", "C"]


def test_a_scan_has_the_mean_probability_of_its_reconstructions(make_predictions):
    table = make_predictions().sample(frac=1, random_state=0)
    scores = gather_predictions(table, NAMES, "scan")
    assert scores.units.tolist() == sorted(set(table["scan"]))
    for row, scan in enumerate(scores.units):
        own = table[table["scan"] == scan]
        for column, name in enumerate(NAMES):
            mean = expit(own[f"logit {name}"]).mean()
            assert scores.probabilities[row, column] == pytest.approx(mean, abs=1e-14)
    owner = table.drop_duplicates("scan").set_index("scan")["patient"].loc[scores.units]
    assert len(set(zip(owner, scores.patients, strict=True))) == len(set(owner)) == scores.patients.max() + 1


def test_logits_keep_apart_what_probabilities_cannot(make_predictions):
    table = make_predictions(patients=4)
    table["logit A"] = np.linspace(50, 90, len(table))
    scores = gather_predictions(table, NAMES, "scan")
    assert np.all(scores.probabilities[:, 0] == 1)
    assert len(set(scores.logits[:, 0])) == len(scores.units)


def test_a_volume_by_itself_keeps_its_logit(make_predictions):
    table = make_predictions()
    scores = gather_predictions(table, NAMES, "volume")
    assert np.array_equal(scores.logits[:, 1], table.sort_values("volume")["logit B"])


def test_a_label_known_of_one_reconstruction_is_known_of_the_scan(make_predictions):
    table = make_predictions()
    scan = table["scan"].value_counts().index[0]
    rows = table.index[table["scan"] == scan]
    table.loc[rows, "label A"] = [np.nan, 1.0]
    scores = gather_predictions(table, NAMES, "scan")
    assert scores.labels[scores.units == scan, 0] == 1


def test_refuses_reconstructions_of_one_scan_with_different_labels(make_predictions):
    table = make_predictions()
    scan = table["scan"].value_counts().index[0]
    table.loc[table["scan"] == scan, "label B"] = [0.0, 1.0]
    with pytest.raises(TableError, match=f"scan {scan} .*'B'"):
        gather_predictions(table, NAMES, "scan")
    assert gather_predictions(table, NAMES, "volume").units.size == len(table)


def test_refuses_missing_columns_and_logits(make_predictions):
    table = make_predictions()
    with pytest.raises(TableError, match="'logit B'"):
        gather_predictions(table.drop(columns="logit B"), NAMES, "scan")
    table.loc[3, "logit C"] = np.nan
    with pytest.raises(TableError, match=f"'C' for volume {table['volume'][3]}"):
        gather_predictions(table, NAMES, "scan")
