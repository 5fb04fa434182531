"""DeLong's test for the difference of two AUROCs on the same cases, which may be clustered in patients.

DeLong, DeLong and Clarke-Pearson (1988); for clusters Obuchowski (1997), which is DeLong's where each has one case.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, rankdata

ROUNDING = 1e-14


@dataclass(frozen=True)
class DeLong:
    """AUROCs a and b, their difference a - b, its standard error, and the two-sided p value."""

    a: float
    b: float
    difference: float
    error: float
    p: float


def placements(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of negatives below each positive (M,), and of positives above each negative (N,); ties count half."""
    ranks = rankdata(scores)
    n_positive, n_negative = positive.sum(), (~positive).sum()
    above = (ranks[positive] - rankdata(scores[positive])) / n_negative
    below = 1 - (ranks[~positive] - rankdata(scores[~positive])) / n_positive
    return above, below


def delong_test(labels: np.ndarray, a: np.ndarray, b: np.ndarray, patients: np.ndarray) -> DeLong:
    """Compare scores a and b, each (seeds, N), AUROCs averaged over the seeds, on labels (N,) of patients (N,).

    Unknown (nan) labels are left out. All is nan if a kind is absent; error and p are nan if a kind has one patient.
    """
    known = ~np.isnan(labels)
    positive, patients = labels[known] == 1, np.unique(patients[known], return_inverse=True)[1]
    if not positive.any() or positive.all():
        return DeLong(*[float("nan")] * 5)
    parts = [[placements(positive, scores) for scores in np.atleast_2d(each)[:, known]] for each in (a, b)]
    # The mean over seeds of AUROCs is the mean of the mean placements.
    (above_a, below_a), (above_b, below_b) = (
        [np.mean(side, axis=0) for side in zip(*each, strict=True)] for each in parts
    )
    difference = above_a.mean() - above_b.mean()
    variance = _variance(above_a - above_b, below_a - below_b, patients[positive], patients[~positive])
    error = float(np.sqrt(max(variance, 0.0)))
    means = above_a.mean(), above_b.mean()
    # Equal rankings differ by nothing, with certainty; what is left is rounding.
    if abs(difference) < ROUNDING and not np.isnan(variance):
        return DeLong(*means, difference, error, 1.0)
    p = 2 * norm.sf(abs(difference) / error) if error > 0 else np.nan
    return DeLong(*means, difference, error, float(p))


def _variance(above: np.ndarray, below: np.ndarray, of_positive: np.ndarray, of_negative: np.ndarray) -> float:
    """Variance of the mean placement, from sums over patients."""
    mean, size = above.mean(), max(of_positive.max(), of_negative.max()) + 1
    high = np.bincount(of_positive, above - mean, size)
    low = np.bincount(of_negative, below - mean, size)
    kinds = (of_positive, of_negative, np.concatenate([of_positive, of_negative]))
    clusters_high, clusters_low, clusters = (len(np.unique(ids)) for ids in kinds)
    if clusters_high < 2 or clusters_low < 2:
        return float("nan")
    spread_high = clusters_high / (clusters_high - 1) * np.sum(high**2)
    spread_low = clusters_low / (clusters_low - 1) * np.sum(low**2)
    both = clusters / (clusters - 1) * np.sum(high * low)
    m, n = len(above), len(below)
    return spread_high / m**2 + spread_low / n**2 + 2 * both / (m * n)
