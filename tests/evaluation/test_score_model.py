"""A model's tables."""

import numpy as np
import pytest

from hounsfield.evaluation import EvaluationSettings, compute_metrics, score_model
from hounsfield.evaluation.predictions import gather_predictions
from hounsfield.tables import read_table, write_table

NAMES = ["A", "B", "C"]
COLUMNS = ["pathology", "n", "n_positive", "n_negative", "prevalence", "roc_auc", "roc_auc_low", "roc_auc_high"]
COLUMNS += ["average_precision", "average_precision_low", "average_precision_high", "threshold", "f1", "precision"]
COLUMNS += ["recall", "sensitivity", "specificity", "accuracy", "brier"]
LATER = ("f1", "precision", "recall", "sensitivity", "specificity", "accuracy", "brier")
COLUMNS += [f"{metric}_{end}" for metric in LATER for end in ("low", "high")]
COLUMNS += ["patients_positive", "patients_negative", "reason"]
SETTINGS = EvaluationSettings(replicates=100)


def test_has_the_columns_and_values_of_the_scans(make_predictions):
    val, test = make_predictions(1, cohort=1), make_predictions(2)
    per_pathology, overall = score_model(val, test, NAMES, SETTINGS)
    assert per_pathology.columns.tolist() == COLUMNS
    assert overall.columns.tolist() == ["metric", "value", "low", "high", "labels", "reason"]
    scores = gather_predictions(test, NAMES, "scan")
    metrics = compute_metrics(scores.logits, scores.labels, NAMES, per_pathology["threshold"])
    for row in per_pathology.to_dict("records"):
        for column, key in (("roc_auc", "auc"), ("f1", "f1"), ("specificity", "specificity"), ("brier", "brier")):
            assert row[column] == pytest.approx(metrics[f"{row['pathology']}_{key}"], abs=1e-12)
        assert row["roc_auc_low"] < row["roc_auc"] < row["roc_auc_high"]
        assert row["n"] == row["n_positive"] + row["n_negative"]
        assert row["prevalence"] == row["n_positive"] / row["n"]
    values = overall.set_index("metric")["value"]
    assert values["roc_auc_macro"] == pytest.approx(metrics["roc_auc_macro"], abs=1e-12)
    assert values["accuracy"] == metrics["accuracy"]


@pytest.mark.parametrize("kind", ["youden", "f1", "sensitivity_at"])
def test_thresholds_come_from_validation_alone(make_predictions, kind):
    settings = EvaluationSettings(threshold=kind, target=0.8, replicates=0, calibration="platt", level="volume")
    val = make_predictions(1, cohort=1)
    first, second = (score_model(val, make_predictions(seed), NAMES, settings)[0] for seed in (2, 3))
    assert np.array_equal(first["threshold"], second["threshold"])
    other = score_model(make_predictions(4, cohort=1), make_predictions(2), NAMES, settings)[0]
    assert not np.array_equal(first["threshold"], other["threshold"])
    assert np.allclose(first["roc_auc"], other["roc_auc"])


def test_calibration_mends_the_brier_score_and_not_the_ranking_of_volumes(make_predictions):
    def wrong(table):
        return table.assign(**{f"logit {name}": 4 * table[f"logit {name}"] + 3 for name in NAMES})

    val, test = wrong(make_predictions(1, 150, cohort=1)), wrong(make_predictions(2, 150))
    raw, mended = (
        score_model(val, test, NAMES, EvaluationSettings(replicates=0, calibration=kind, level="volume"))[0]
        for kind in ("none", "platt")
    )
    assert (mended["brier"] < raw["brier"] - 0.1).all()
    assert np.allclose(mended["roc_auc"], raw["roc_auc"])


def test_undefined_is_an_empty_cell(make_predictions, tmp_path):
    test = make_predictions(2)
    test["label B"] = 0.0
    per_pathology, overall = score_model(make_predictions(1, cohort=1), test, NAMES, SETTINGS)
    write_table(per_pathology, tmp_path / "per_pathology.tsv")
    write_table(overall, tmp_path / "overall.tsv")
    cells = (tmp_path / "per_pathology.tsv").read_text().splitlines()[2].split("\t")
    row = dict(zip(COLUMNS, cells, strict=True))
    empty = {"roc_auc", "average_precision", "f1", "precision", "recall", "sensitivity"}
    # With one kind alone, accuracy and Brier's score are of that kind, and have no interval either.
    empty |= {f"{metric}_{end}" for metric in (*empty, "accuracy", "brier") for end in ("low", "high")}
    assert {name for name, cell in row.items() if cell == ""} == empty
    assert "accuracy, brier: positive in fewer than 3 patients" in row["reason"]
    assert float(row["specificity"]) >= 0
    assert "nan" not in (tmp_path / "overall.tsv").read_text().lower()
    again = read_table(tmp_path / "overall.tsv", ["metric"])
    assert np.array_equal(again["value"], overall["value"])


def test_the_order_of_rows_changes_nothing(make_predictions):
    val, test = make_predictions(1, cohort=1), make_predictions(2)
    first = score_model(val, test, NAMES, SETTINGS)
    second = score_model(val.iloc[::-1], test.sample(frac=1, random_state=1), NAMES, SETTINGS)
    for a, b in zip(first, second, strict=True):
        numbers = a.select_dtypes("number").columns
        assert np.allclose(a[numbers], b[numbers], atol=1e-12, equal_nan=True)
