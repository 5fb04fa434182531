"""Intervals against their definitions, and at the ends where the usual ones fail."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from hounsfield.evaluation import intervals


def kernel(positive_scores, negative_scores):
    x, y = np.asarray(positive_scores)[:, None], np.asarray(negative_scores)[None, :]
    return (x > y) + 0.5 * (x == y)


def obuchowski(positive, scores, patients):
    """The variance from all pairs of a positive and a negative, summed patient by patient."""
    psi = kernel(scores[positive], scores[~positive])
    m, n = psi.shape
    above, below, theta = psi.mean(axis=1), psi.mean(axis=0), psi.mean()
    sums = {patient: [0.0, 0.0] for patient in patients}
    for side, owners, values in ((0, patients[positive], above), (1, patients[~positive], below)):
        for patient, value in zip(owners, values, strict=True):
            sums[patient][side] += value - theta
    i10, i01 = len(set(patients[positive])), len(set(patients[~positive]))
    s10 = i10 / ((i10 - 1) * m) * sum(high**2 for high, _ in sums.values())
    s01 = i01 / ((i01 - 1) * n) * sum(low**2 for _, low in sums.values())
    # Of the factors for small samples, the mixed one is the mean (geometric) of both kinds'.
    mixed = np.sqrt(i10 / (i10 - 1) * i01 / (i01 - 1)) / m
    s11 = mixed * sum(high * low for high, low in sums.values())
    return s10 / m + s01 / n + 2 * s11 / n


@st.composite
def samples(draw):
    random = np.random.default_rng(draw(st.integers(0, 10_000)))
    n = draw(st.integers(8, 40))
    positive = random.random(n) < 0.5
    positive[:4] = [False, True, False, True]
    scores = np.round(random.normal(positive, 1), draw(st.sampled_from([0, 1, 6])))
    owners = np.concatenate([np.arange(4), random.integers(0, max(4, n // 2), n - 4)])
    return positive, scores, np.unique(owners, return_inverse=True)[1]


@hypothesis_settings(max_examples=60, deadline=None)
@given(samples())
def test_auroc_has_obuchowskis_variance_and_covariance(sample):
    positive, scores, patients = sample
    size = patients.max() + 1
    found = intervals.auroc(positive, scores, patients, size, 0.95)
    assert found.value == pytest.approx(roc_auc_score(positive, scores), abs=1e-12)
    assert found.variance == pytest.approx(obuchowski(positive, scores, patients), abs=1e-12)


@hypothesis_settings(max_examples=60, deadline=None)
@given(samples())
def test_of_independent_scans_it_is_delongs(sample):
    positive, scores, _ = sample
    found = intervals.auroc(positive, scores, np.arange(len(positive)), len(positive), 0.95)
    psi = kernel(scores[positive], scores[~positive])
    variance = np.var(psi.mean(axis=1), ddof=1) / psi.shape[0] + np.var(psi.mean(axis=0), ddof=1) / psi.shape[1]
    assert found.variance == pytest.approx(variance, abs=1e-12)


@hypothesis_settings(max_examples=60, deadline=None)
@given(samples(), st.integers(0, 7))
def test_average_precision_moves_with_a_case_as_its_influence_says(sample, case):
    positive, scores, _ = sample
    value, influence = intervals.average_precision_influence(positive, scores)
    assert value == pytest.approx(average_precision_score(positive, scores), abs=1e-12)
    weights = np.ones(len(positive))
    weights[case] += 1e-6
    moved = average_precision_score(positive, scores, sample_weight=weights)
    assert influence[case] == pytest.approx((moved - value) / 1e-6, abs=1e-4)
    assert influence.sum() == pytest.approx(0, abs=1e-12)


@given(st.floats(0, 1), st.floats(1, 500), st.floats(1, 500))
def test_newcombes_limits_are_where_the_value_is_that_far_away(value, positives, negatives):
    low, high = intervals.newcombe_limits(value, positives, negatives, 1.96)
    assert 0 <= low <= value <= high <= 1
    for limit in (low, high):
        if 1e-9 < limit < 1 - 1e-9:
            error = np.sqrt(intervals.newcombe_variance(limit, positives, negatives))
            assert abs(limit - value) == pytest.approx(1.96 * error, abs=1e-6)


def test_a_proportion_of_many_single_scans_has_wilsons_interval():
    hits = np.arange(5000) < 700
    found = intervals.proportion(hits, np.arange(5000), 5000, 0.95).interval(0.95)
    assert found == pytest.approx(tuple(binomtest(700, 5000).proportion_ci(method="wilson")), abs=1e-4)


def test_f1_is_scikit_learns_and_its_limits_enclose_it():
    random = np.random.default_rng(0)
    positive, called = random.random(200) < 0.3, random.random(200) < 0.4
    either = positive | called
    patients = np.arange(200) // 2
    found = intervals.f1((positive & called)[either], patients[either], 100, 0.95)
    low, high = found.interval(0.95)
    assert found.value == pytest.approx(f1_score(positive, called)) and low < found.value < high


@pytest.mark.parametrize("kind", ["auroc", "proportion", "average_precision"])
def test_perfect_scores_of_few_patients_are_not_certain(kind):
    patients = np.arange(30)
    positive = patients < 6
    if kind == "proportion":
        found = intervals.proportion(np.ones(6, bool), patients[:6], 30, 0.95)
    else:
        found = getattr(intervals, kind)(positive, positive.astype(float), patients, 30, 0.95)
    low, high = found.interval(0.95)
    assert found.value == 1 and high == 1 and low < 0.85


def test_repeating_every_scan_of_a_patient_adds_no_certainty():
    random = np.random.default_rng(0)
    positive = random.random(60) < 0.5
    scores = random.normal(positive, 1)
    once = intervals.auroc(positive, scores, np.arange(60), 60, 0.95).interval(0.95)
    often = intervals.auroc(np.tile(positive, 5), np.tile(scores, 5), np.tile(np.arange(60), 5), 60, 0.95)
    assert often.interval(0.95) == pytest.approx(once, abs=0.01)
    loose = intervals.auroc(np.tile(positive, 5), np.tile(scores, 5), np.arange(300), 300, 0.95).interval(0.95)
    assert loose[1] - loose[0] < 0.6 * (once[1] - once[0])


@pytest.mark.parametrize(("positives", "reason"), [(2, "positive in fewer than 3 patients"), (3, "")])
def test_too_few_patients_are_a_reason_and_no_interval(positives, reason):
    patients = np.repeat(np.arange(20), 3)
    positive = patients < positives
    scores = np.random.default_rng(0).normal(positive, 1)
    found = intervals.auroc(positive, scores, patients, 20, 0.95)
    assert found.reason == reason and np.isnan(found.interval(0.95)).all() == bool(reason)


def test_influences_worth_their_number_or_two():
    assert intervals.effective_freedom(np.random.default_rng(0).normal(size=20_000)) == pytest.approx(20_000, rel=0.05)
    assert intervals.effective_freedom(np.array([1.0, *[1e-6] * 50])) == pytest.approx(2, abs=0.1)
