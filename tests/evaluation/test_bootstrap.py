"""Resamples against a plain loop over scikit-learn, and intervals against scipy's."""

import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import average_precision_score, brier_score_loss, f1_score, precision_score, roc_auc_score

from hounsfield.evaluation.bootstrap import (
    Bootstrap,
    bca_tails,
    bootstrap,
    bootstrap_blocks,
    interval,
    jackknife_blocks,
    metrics_of,
)
from hounsfield.evaluation.metrics import make_sample
from hounsfield.evaluation.predictions import Predictions, predictions_of
from hounsfield.evaluation.settings import EvaluationSettings


def random_scores(seed, n=60, patients=25):
    random = np.random.default_rng(seed)
    labels = (random.random((n, 2)) < 0.4).astype(float)
    labels[random.random((n, 2)) < 0.1] = np.nan
    logits = np.round(random.normal(np.nan_to_num(labels), 1.5), 1)
    scores = predictions_of(labels, logits)
    owners = np.concatenate([np.arange(patients), random.integers(0, patients, n - patients)])
    return Predictions(scores.labels, scores.logits, scores.probabilities, owners, scores.units)


@hypothesis_settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000))
def test_equals_a_loop_over_scikit_learn(seed):
    scores = random_scores(seed)
    decisions = scores.probabilities >= 0.6
    found = bootstrap(scores, decisions, EvaluationSettings(replicates=20, seed=seed)).resamples
    weights = np.concatenate(list(bootstrap_blocks(scores.patients, 20, seed)), axis=1)
    for r in range(20):
        for j in range(2):
            known = np.flatnonzero(~np.isnan(scores.labels[:, j]))
            rows = np.repeat(known, weights[known, r])
            y, logit, called = scores.labels[rows, j], scores.logits[rows, j], decisions[rows, j]
            expected = {
                "roc_auc": roc_auc_score(y, logit),
                "average_precision": average_precision_score(y, logit),
                "f1": f1_score(y, called),
                "precision": precision_score(y, called, zero_division=np.nan),
                "specificity": np.mean(~called[y == 0]),
                "brier": brier_score_loss(y, scores.probabilities[rows, j]),
            }
            for metric, value in expected.items():
                assert found.columns[metric][r, j] == pytest.approx(value, abs=1e-12, nan_ok=True), metric
        rows = np.repeat(np.arange(len(weights)), weights[:, r])
        y, logit = scores.labels[rows].ravel(), scores.logits[rows].ravel()
        known = ~np.isnan(y)
        assert found.overall["roc_auc_micro"][r] == pytest.approx(roc_auc_score(y[known], logit[known]), abs=1e-12)
        assert found.overall["roc_auc_macro"][r] == pytest.approx(found.columns["roc_auc"][r].mean(), abs=1e-12)


def test_resamples_draw_as_many_patients_with_all_their_scans():
    patients = np.array([0, 0, 1, 2, 2, 2, 3])
    weights = np.concatenate(list(bootstrap_blocks(patients, 200, seed=1)), axis=1)
    assert weights.shape == (7, 200)
    assert np.array_equal(weights[0], weights[1])
    assert np.array_equal(weights[3], weights[5])
    counts = weights[[0, 2, 3, 6]]
    assert np.all(counts.sum(axis=0) == 4)
    assert np.allclose(counts.mean(axis=1), 1, atol=0.25)
    # With replacement, a given patient is left out of (3/4)^4 of the resamples.
    assert np.mean(counts == 0) == pytest.approx(0.75**4, abs=0.05)


def test_the_first_resamples_do_not_depend_on_how_many_follow():
    patients = np.arange(30)
    short, long = (np.concatenate(list(bootstrap_blocks(patients, count, 7)), axis=1) for count in (64, 200))
    assert np.array_equal(short, long[:, :64])
    assert not np.array_equal(short, next(bootstrap_blocks(patients, 64, 8)))


def test_the_jackknife_leaves_each_group_of_patients_out_once():
    patients = np.repeat(np.arange(500), 2)
    weights = np.concatenate(list(jackknife_blocks(patients, groups=100)), axis=1)
    assert weights.shape == (1000, 100)
    assert np.all(weights.sum(axis=1) == 99)
    assert np.all(weights.sum(axis=0) == 990)
    assert np.array_equal(weights[::2], weights[1::2])


def test_holds_one_block_of_weights_at_a_time():
    scores = random_scores(0)
    earlier = []

    def blocks():
        for block in bootstrap_blocks(scores.patients, 400, 0):
            assert sum(each() is not None for each in earlier) <= 1
            earlier.append(weakref.ref(block))
            yield block
            del block

    found = metrics_of(make_sample(scores, scores.probabilities > 0.5), blocks())
    assert found.overall["accuracy"].shape == (400,)


def test_no_replicates_leave_the_intervals_empty():
    scores = random_scores(1)
    result = bootstrap(scores, scores.probabilities > 0.5, EvaluationSettings(replicates=0, interval="bca"))
    value, low, high = result.overall("roc_auc_macro").interval
    assert value > 0.5
    assert np.isnan([low, high]).all()


def test_an_interval_is_empty_where_too_many_resamples_are_undefined():
    samples = np.append(np.linspace(0, 1, 89), np.full(11, np.nan))
    assert np.isnan(interval(0.5, samples, None, 0.95)).all()
    assert not np.isnan(interval(0.5, samples[:98], None, 0.95)).any()


def test_bca_equals_scipy():
    data = np.random.default_rng(3).exponential(size=40)
    theirs = stats.bootstrap(
        (data,), np.mean, n_resamples=999, method="BCa", rng=np.random.default_rng(0), confidence_level=0.9
    )
    left_out = np.array([np.delete(data, i).mean() for i in range(len(data))])
    ours = interval(data.mean(), theirs.bootstrap_distribution, left_out, 0.9)
    assert ours == pytest.approx(tuple(theirs.confidence_interval), abs=1e-12)


def test_bca_of_a_metric_that_never_varies_is_the_percentile_interval():
    tails = np.array([0.025, 0.975])
    assert np.allclose(bca_tails(1.0, np.ones(50), np.ones(10), tails), tails)
    assert np.array_equal(bca_tails(2.0, np.ones(50), np.ones(10), tails), tails)


def test_means_and_differences_are_taken_in_each_resample():
    scores = random_scores(2)
    other = Predictions(scores.labels, -scores.logits, 1 - scores.probabilities, scores.patients, scores.units)
    settings = EvaluationSettings(replicates=50, interval="bca")
    a, b = (bootstrap(each, each.probabilities > 0.5, settings) for each in (scores, other))
    # Turned round, the AUROC is one less the AUROC, in each resample of the same patients.
    assert Bootstrap.mean([a, b]).resamples.columns["roc_auc"] == pytest.approx(0.5, abs=1e-12)
    gap = a.minus(b)
    assert gap.resamples.overall["roc_auc_micro"] == pytest.approx(
        a.resamples.overall["roc_auc_micro"] - b.resamples.overall["roc_auc_micro"]
    )
    assert gap.jackknife.columns["roc_auc"].shape == a.jackknife.columns["roc_auc"].shape
