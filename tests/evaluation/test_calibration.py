"""Calibration against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score

from hounsfield.evaluation.calibration import calibration_error, calibration_measures, fit_calibration, reliability
from hounsfield.evaluation.predictions import mean_logits, predictions_of
from hounsfield.evaluation.scored_model import calibrated_model
from hounsfield.evaluation.settings import EvaluationSettings


def overconfident(seed=0, n=400):
    random = np.random.default_rng(seed)
    truth = random.normal(size=(n, 2))
    labels = (random.random((n, 2)) < expit(truth)).astype(float)
    labels[:5, 1] = np.nan
    return labels, 3 * truth + np.array([0.0, 1.0])


def test_a_temperature_undoes_overconfidence():
    labels, logits = overconfident(n=20_000)
    fitted = fit_calibration(labels[:, :1], logits[:, :1], "temperature")
    assert fitted.scale == pytest.approx([1 / 3], abs=0.02)
    assert fitted.offset == [0]


def test_no_other_temperature_has_a_lower_loss():
    labels, logits = overconfident()
    fitted = fit_calibration(labels, logits, "temperature")
    known = ~np.isnan(labels[:, 1])
    losses = {
        factor: log_loss(labels[known, 1], expit(factor * fitted.scale[1] * logits[known, 1]))
        for factor in (0.98, 1.0, 1.02)
    }
    assert min(losses, key=losses.get) == 1.0


def test_platt_equals_a_logistic_regression_on_platts_targets():
    labels, logits = overconfident()
    fitted = fit_calibration(labels, logits, "platt")
    for j in range(2):
        known = ~np.isnan(labels[:, j])
        y, x = labels[known, j], logits[known, j]
        positives = y.sum()
        target = np.where(y == 1, (positives + 1) / (positives + 2), 1 / (len(y) - positives + 2))
        # A soft target is a case of either kind, weighed.
        regression = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
        twice = np.concatenate([x, x])[:, None]
        regression.fit(twice, np.repeat([1, 0], len(x)), sample_weight=np.concatenate([target, 1 - target]))
        assert fitted.scale[j] == pytest.approx(regression.coef_[0, 0], abs=1e-5)
        assert fitted.offset[j] == pytest.approx(regression.intercept_[0], abs=1e-5)


@pytest.mark.parametrize("kind", ["none", "temperature", "platt"])
def test_keeps_the_ranking_and_stays_finite(kind):
    labels, logits = overconfident(n=50)
    separated = np.where(np.nan_to_num(labels) == 1, 5.0, -5.0)
    for each in (logits, separated):
        fitted = fit_calibration(labels, each, kind)
        calibrated = fitted.apply(each)
        assert np.isfinite(calibrated).all()
        assert (fitted.scale > 0).all()
        assert roc_auc_score(labels[:, 0], calibrated[:, 0]) == roc_auc_score(labels[:, 0], each[:, 0])


def test_a_label_of_one_kind_keeps_its_logits():
    fitted = fit_calibration(np.array([[1, np.nan], [1, np.nan]]), np.array([[3.0, 1.0], [4.0, 2.0]]), "platt")
    assert (fitted.scale.tolist(), fitted.offset.tolist()) == ([1, 1], [0, 0])


@hypothesis_settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 20))
def test_reliability_equals_scikit_learn(seed, bins):
    random = np.random.default_rng(seed)
    # Away from the bins' edges, which scikit-learn counts to the bin below.
    probabilities = np.append(random.random(80), [0.0, 1.0])
    labels = (random.random(82) < probabilities).astype(float)
    labels[random.random(82) < 0.1] = np.nan
    known = ~np.isnan(labels)
    table = reliability(labels, probabilities, bins)
    observed, mean = calibration_curve(labels[known], probabilities[known], n_bins=bins)
    filled = table[table["n"] > 0]
    assert filled["observed"].to_numpy() == pytest.approx(observed, abs=1e-12)
    assert filled["mean_probability"].to_numpy() == pytest.approx(mean, abs=1e-12)
    weights = filled["n"] / known.sum()
    assert table["n"].sum() == known.sum()
    assert calibration_error(table) == pytest.approx(np.sum(weights * np.abs(observed - mean)), abs=1e-12)


def test_undefined_without_known_labels():
    assert np.isnan(calibration_error(reliability(np.array([np.nan]), np.array([0.5]), 5)))


def test_scans_are_calibrated_as_they_are_scored_after_their_reconstructions_are_averaged():
    random = np.random.default_rng(0)
    labels = (random.random((20_000, 1)) < 0.3).astype(float)
    # Three reconstructions, each calibrated by itself: their mean is surer than it says.
    volumes = 2 * np.repeat(labels, 3, axis=0) + random.normal(0, 1.4, (60_000, 1)) - 1
    alone = fit_calibration(np.repeat(labels, 3, axis=0), volumes, "platt").apply(volumes)
    raw = mean_logits(alone, np.arange(20_000) * 3)
    assert calibration_measures(labels[:, 0], raw[:, 0], 10)["slope"] > 1.2
    halves = [predictions_of(labels[part], raw[part]) for part in (slice(0, 10_000), slice(10_000, None))]
    scored = calibrated_model(*halves, EvaluationSettings(calibration="platt"))
    measures = calibration_measures(scored.test.labels[:, 0], scored.test.logits[:, 0], 10)
    assert measures["slope"] == pytest.approx(1, abs=0.07) and measures["intercept"] == pytest.approx(0, abs=0.12)


def test_measures_equal_a_logistic_regression_and_add_up_to_brier():
    random = np.random.default_rng(1)
    logits = random.choice([-2.0, -0.5, 0.3, 1.5], 500)
    labels = (random.random(500) < expit(0.6 * logits)).astype(float)
    found = calibration_measures(labels, logits, 10)
    regression = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(logits[:, None], labels)
    assert found["slope"] == pytest.approx(regression.coef_[0, 0], abs=1e-4)
    # One value a bin: nothing varies inside.
    assert found["brier"] == pytest.approx(found["miscalibration"] - found["resolution"] + found["uncertainty"])


def test_few_scans_have_a_calibration_error_even_if_calibrated():
    random = np.random.default_rng(2)
    logits = random.normal(size=42)
    labels = (random.random(42) < expit(logits)).astype(float)
    found = calibration_measures(labels, logits, 10)
    assert 0.08 < found["expected_calibration_error"] < 0.2
    many = calibration_measures(np.tile(labels, 200), np.tile(logits, 200), 10)
    assert many["expected_calibration_error"] < 0.02


def test_what_is_separated_or_unknown_has_no_slope():
    assert np.isnan(calibration_measures(np.array([0.0, 1.0]), np.array([-1.0, 1.0]), 5)["slope"])
    assert all(np.isnan(value) for value in calibration_measures(np.array([np.nan]), np.array([0.5]), 5).values())
