"""DeLong's test against its definition, case by case."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from hounsfield.evaluation.pairs import delong_test


def kernel(positive_scores, negative_scores):
    x, y = np.asarray(positive_scores)[:, None], np.asarray(negative_scores)[None, :]
    return (x > y) + 0.5 * (x == y)


def definition(labels, a, b, patients):
    """Difference and variance from all pairs of a positive and a negative, summed patient by patient."""
    positive = labels == 1
    psi = kernel(a[positive], a[~positive]) - kernel(b[positive], b[~positive])
    m, n = psi.shape
    above, below, theta = psi.mean(axis=1), psi.mean(axis=0), psi.mean()
    sums = {patient: [0.0, 0.0] for patient in patients}
    for side, owners, values in ((0, patients[positive], above), (1, patients[~positive], below)):
        for patient, value in zip(owners, values, strict=True):
            sums[patient][side] += value - theta
    i10, i01, i = len(set(patients[positive])), len(set(patients[~positive])), len(set(patients))
    s10 = i10 / ((i10 - 1) * m) * sum(high**2 for high, _ in sums.values())
    s01 = i01 / ((i01 - 1) * n) * sum(low**2 for _, low in sums.values())
    s11 = i / (i - 1) * sum(high * low for high, low in sums.values())
    return theta, s10 / m + s01 / n + 2 * s11 / (m * n)


def delong_covariance(labels, a, b):
    """Variance of the difference as DeLong et al. write it, of independent cases."""
    positive = labels == 1
    v10 = np.stack([kernel(s[positive], s[~positive]).mean(axis=1) for s in (a, b)])
    v01 = np.stack([kernel(s[positive], s[~positive]).mean(axis=0) for s in (a, b)])
    s = np.cov(v10) / v10.shape[1] + np.cov(v01) / v01.shape[1]
    return s[0, 0] + s[1, 1] - 2 * s[0, 1]


@st.composite
def samples(draw):
    random = np.random.default_rng(draw(st.integers(0, 10_000)))
    n = draw(st.integers(8, 40))
    labels = (random.random(n) < 0.5).astype(float)
    labels[:4] = [0, 1, 0, 1]
    a, b = (np.round(random.normal(labels, 1), draw(st.sampled_from([0, 1, 6]))) for _ in range(2))
    patients = np.concatenate([np.arange(4), random.integers(0, max(4, n // 2), n - 4)])
    return labels, a, b, patients


@hypothesis_settings(max_examples=100, deadline=None)
@given(samples())
def test_equals_the_definition(sample):
    labels, a, b, patients = sample
    found = delong_test(labels, a, b, patients)
    assert found.a == pytest.approx(roc_auc_score(labels, a), abs=1e-12)
    assert found.b == pytest.approx(roc_auc_score(labels, b), abs=1e-12)
    theta, variance = definition(labels, a, b, patients)
    assert found.difference == pytest.approx(theta, abs=1e-12)
    assert found.error**2 == pytest.approx(max(variance, 0), abs=1e-12)
    if found.error > 1e-9 and abs(theta) > 1e-9:
        assert found.p == pytest.approx(2 * norm.sf(abs(theta) / np.sqrt(variance)), abs=1e-9)


@hypothesis_settings(max_examples=100, deadline=None)
@given(samples())
def test_with_a_case_a_patient_it_is_delongs(sample):
    labels, a, b, _ = sample
    found = delong_test(labels, a, b, np.arange(len(labels)))
    assert found.error**2 == pytest.approx(delong_covariance(labels, a, b), abs=1e-12)


def test_repeating_every_scan_of_a_patient_adds_no_certainty():
    random = np.random.default_rng(0)
    labels = (random.random(60) < 0.5).astype(float)
    a, b = random.normal(labels, 1), random.normal(labels, 1)
    once = delong_test(labels, a, b, np.arange(60))
    patients = np.tile(np.arange(60), 5)
    often = delong_test(np.tile(labels, 5), np.tile(a, 5), np.tile(b, 5), patients)
    assert often.p == pytest.approx(once.p, rel=1e-9)
    assert delong_test(np.tile(labels, 5), np.tile(a, 5), np.tile(b, 5), np.arange(300)).p < once.p


def test_seeds_are_averaged():
    random = np.random.default_rng(1)
    labels = (random.random(50) < 0.5).astype(float)
    a, b = random.normal(labels, 1, (3, 50)), random.normal(labels, 1, (3, 50))
    found = delong_test(labels, a, b, np.arange(50))
    assert found.a == pytest.approx(np.mean([roc_auc_score(labels, each) for each in a]), abs=1e-12)


def test_undefined_and_equal():
    scores = np.array([0.1, 0.4, 0.3, 0.8])
    labels, patients = np.array([0, 1, 0, 1.0]), np.arange(4)
    assert np.isnan(delong_test(np.ones(4), scores, scores, patients).difference)
    assert delong_test(labels, scores, 2 * scores, patients).p == 1
    assert np.isnan(delong_test(labels, scores, -scores, np.array([0, 1, 2, 1])).p)
    unknown = delong_test(np.append(labels, np.nan), np.append(scores, 9), np.append(-scores, 0), np.arange(5))
    assert unknown == delong_test(labels, scores, -scores, patients)
