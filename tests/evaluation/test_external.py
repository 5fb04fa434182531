"""Internal beside external: the same thresholds, intervals of each side, macro means over what both can score."""

import numpy as np
import pytest

from hounsfield.evaluation import EvaluationSettings, score_model
from hounsfield.evaluation.external import METRICS, external_table
from hounsfield.evaluation.pairs import MACRO

NAMES = ["A", "B", "C"]
SETTINGS = EvaluationSettings(replicates=200)


@pytest.fixture
def sides(make_predictions):
    """External predictions (validation, test), with no label of C, and the internal test's; the networks are worse
    outside."""
    val, inside = make_predictions(0, 60, 2.5, 1), make_predictions(0, 60, 2.5, 2)
    outside = make_predictions(0, 80, 0.3, 3).assign(**{"label C": np.nan})
    return {"m": {0: (val, outside)}}, {"m": {0: inside}}


@pytest.mark.parametrize("interval", ["percentile", "bca"])
def test_each_side_is_what_its_own_run_reports(sides, interval):
    settings = EvaluationSettings(replicates=200, interval=interval)
    external, internal = sides
    table = external_table(external, internal, NAMES, settings).set_index(["metric", "pathology"])
    val, outside = external["m"][0]
    for side, test in (("internal", internal["m"][0]), ("external", outside)):
        own = score_model(val, test, NAMES, settings)[0].set_index("pathology")
        row = table.loc[("roc_auc", "A")]
        expected = own.loc["A", ["roc_auc", "roc_auc_low", "roc_auc_high"]]
        assert row[[side, f"{side}_low", f"{side}_high"]].tolist() == expected.tolist()
        for metric in METRICS:
            assert table.loc[(metric, "B"), side] == own.loc["B", metric]


def test_a_label_that_the_external_cohort_lacks_is_blank_there_and_in_no_macro(sides):
    table = external_table(*sides, NAMES, SETTINGS).set_index(["metric", "pathology"])
    for metric in METRICS:
        row = table.loc[(metric, "C")]
        assert row[["external", "external_low", "external_high", "difference", "low", "high"]].isna().all()
        assert not np.isnan(row["internal"])
        for side in ("internal", "external"):
            both = table.loc[[(metric, name) for name in "AB"], side]
            assert table.loc[(metric, MACRO), side] == pytest.approx(both.mean(), abs=1e-12)


def test_the_difference_has_an_interval_as_wide_as_both_sides_make_it(sides):
    table = external_table(*sides, NAMES, EvaluationSettings(replicates=2000)).set_index(["metric", "pathology"])
    row = table.loc[("roc_auc", MACRO)]
    assert row["difference"] == pytest.approx(row["external"] - row["internal"], abs=1e-12)
    assert row["low"] < row["difference"] < row["high"] < 0
    widths = [row[f"{side}_high"] - row[f"{side}_low"] for side in ("internal", "external")]
    # Of independent sides: the root of the sum of squares.
    assert row["high"] - row["low"] == pytest.approx(np.hypot(*widths), rel=0.1)


def test_thresholds_come_from_internal_validation_alone(sides):
    external, internal = sides
    val, outside = external["m"][0]
    changed = outside.assign(**{"label A": 1 - outside["label A"]})
    before, after = (
        external_table({"m": {0: (val, test)}}, internal, NAMES, SETTINGS).set_index(["metric", "pathology"])
        for test in (outside, changed)
    )
    # With every label turned, what was called present stays: sensitivity becomes the share of false alarms.
    turned = 1 - after.loc[("sensitivity", "A"), "external"]
    assert before.loc[("specificity", "A"), "external"] == pytest.approx(turned)
    assert before.loc[("sensitivity", "A"), "internal"] == after.loc[("sensitivity", "A"), "internal"]
