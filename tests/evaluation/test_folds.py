"""Folds' networks have no common scale: their cases are ranked within folds, whatever the scale."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from hounsfield.evaluation.analysis import analyse
from hounsfield.evaluation.folds import fold_table, gather_folds, inner_parts, score_folds
from hounsfield.evaluation.predictions import predictions_of
from hounsfield.evaluation.settings import EvaluationSettings

NAMES = ["A", "B"]


def out_of_fold(random, folds=5, patients=40, shift=1.5, scale=1.0, offsets=0.0, scans=1):
    """Predictions of each fold; a network's logits are scaled and moved by chance, which changes no network."""
    import pandas as pd

    tables = []
    for fold in range(folds):
        n = patients * scans
        labels = (random.random((n, 2)) < (0.3, 0.1)).astype(float)
        logits = random.normal(0, 1, (n, 2)) + shift * labels
        logits = logits * np.exp(scale * random.normal()) + offsets * random.normal()
        names = [f"f{fold}p{row // scans}s{row % scans}" for row in range(n)]
        table = pd.DataFrame({"volume": names, "scan": names, "patient": [name.split("s")[0] for name in names]})
        for j, name in enumerate(NAMES):
            table[f"label {name}"], table[f"logit {name}"] = labels[:, j], logits[:, j]
        tables.append(table)
    return tables


@pytest.mark.parametrize("interval", ["analytic", "percentile", "bca"])
def test_ranking_is_over_pairs_within_folds(interval):
    random = np.random.default_rng(0)
    folds = out_of_fold(random, patients=30, offsets=3.0)
    settings = EvaluationSettings(interval=interval, replicates=60)
    per_pathology, overall = score_folds(folds, NAMES, settings)
    for name in NAMES:
        parts = [(table[f"label {name}"], table[f"logit {name}"]) for table in folds]
        parts = [(labels, logits) for labels, logits in parts if labels.nunique() == 2]
        pairs = [labels.sum() * (1 - labels).sum() for labels, _ in parts]
        positives = [labels.sum() for labels, _ in parts]
        row = per_pathology.set_index("pathology").loc[name]
        auc = np.average([roc_auc_score(*part) for part in parts], weights=pairs)
        precision = np.average([average_precision_score(*part) for part in parts], weights=positives)
        assert row["roc_auc"] == pytest.approx(auc, abs=1e-12)
        assert row["average_precision"] == pytest.approx(precision, abs=1e-12)
        assert row["roc_auc_low"] < row["roc_auc"] < row["roc_auc_high"]
    macro = overall.set_index("metric").loc["roc_auc_macro"]
    assert macro["value"] == pytest.approx(per_pathology["roc_auc"].mean(), abs=1e-12)
    assert macro["low"] < macro["value"] < macro["high"]


@pytest.mark.parametrize("interval", ["analytic", "percentile"])
def test_the_scale_of_a_network_means_nothing(interval):
    folds = out_of_fold(np.random.default_rng(1))
    moved = [table.copy() for table in folds]
    for name in NAMES:
        moved[0][f"logit {name}"] = 7 * moved[0][f"logit {name}"] - 20
    settings = EvaluationSettings(interval=interval, replicates=30)
    before, after = (score_folds(each, NAMES, settings)[0] for each in (folds, moved))
    np.testing.assert_allclose(before["roc_auc"], after["roc_auc"], rtol=1e-12)
    np.testing.assert_allclose(before["sensitivity"], after["sensitivity"], rtol=1e-12)
    tables = [fold_table({"m": {0: [(t, t) for t in each]}}, NAMES, settings) for each in (folds, moved)]
    columns = [table.set_index(["pathology", "metric"])["pooled"] for table in tables]
    assert columns[1].loc[("A", "roc_auc")] < columns[0].loc[("A", "roc_auc")] - 0.05
    assert columns[0].loc[("(macro)", "f1_macro")] != columns[0].loc[("(macro)", "f1_macro")]  # nothing is pooled there


def test_pooling_is_biased_and_pairs_within_folds_are_not():
    random, settings = np.random.default_rng(2), EvaluationSettings()
    true, found, pooled, covered = 0.8554, [], [], 0  # of two normals 1.5 apart
    for _ in range(150):
        folds = out_of_fold(random, offsets=1.5, scale=0.3)
        row = fold_table({"m": {0: [(table, table) for table in folds]}}, NAMES, settings).iloc[0]
        found.append(row["value"])
        pooled.append(row["pooled"])
        covered += row["low"] <= true <= row["high"]
    assert abs(np.mean(found) - true) < 0.008
    assert np.mean(pooled) < true - 0.04
    assert covered / 150 > 0.9


def test_calibration_and_thresholds_are_of_a_folds_other_patients():
    random = np.random.default_rng(3)
    folds = out_of_fold(random, folds=2, patients=20, scans=3)
    scores, decisions = gather_folds(folds, NAMES, EvaluationSettings(calibration="platt", level="scan"))
    assert scores.folds.tolist() == [0] * 60 + [1] * 60 and decisions.shape == (120, 2)
    first = scores.take(scores.folds == 0)
    parts = inner_parts(first)
    assert set(parts) == set(range(5))
    assert all(len(set(parts[first.patients == patient])) == 1 for patient in set(first.patients))
    chosen = folds[0]["patient"].isin(np.unique([name.split("s")[0] for name in first.units[parts == 2]]))
    turned = folds[0].assign(**{"label A": folds[0]["label A"].where(~chosen, 1 - folds[0]["label A"])})
    again = gather_folds([turned, folds[1]], NAMES, EvaluationSettings(calibration="platt", level="scan"))[0]
    own = inner_parts(again.take(again.folds == 0))
    if np.array_equal(own, parts):  # dealt out as before: its own labels change none of a part's probabilities
        same = np.flatnonzero(parts == 2)
        np.testing.assert_array_equal(again.probabilities[same], scores.probabilities[same])
    np.testing.assert_array_equal(again.probabilities[60:], scores.probabilities[60:])


def test_one_fold_is_as_none():
    random = np.random.default_rng(4)
    labels, logits = (random.random((50, 2)) < 0.4).astype(float), random.normal(size=(50, 2))
    scores, settings = predictions_of(labels, logits), EvaluationSettings()
    one = replace(scores, folds=np.zeros(50, int))
    for metric in ("roc_auc", "average_precision"):
        plain, folded = (analyse(each, logits > 0, settings).column(metric, 0).interval for each in (scores, one))
        assert plain == folded
