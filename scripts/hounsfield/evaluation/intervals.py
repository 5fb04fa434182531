"""Intervals from bootstrap samples."""

import numpy as np
from scipy.stats import norm

# With two patients of the rarer kind a seventh of the resamples has none, and the others say little.
DEFINED_SHARE = 0.9


def interval(value: float, samples: np.ndarray, jackknife: np.ndarray | None, confidence: float) -> tuple[float, float]:
    """Lower and upper limit from bootstrap samples (R,), corrected by the jackknife's values (G,) if there are any.

    Both are nan if over a tenth of the samples are.
    """
    defined = samples[~np.isnan(samples)]
    if np.isnan(value) or defined.size == 0 or defined.size < DEFINED_SHARE * samples.size:
        return float("nan"), float("nan")
    tails = np.array([(1 - confidence) / 2, (1 + confidence) / 2])
    if jackknife is not None:
        tails = bca_tails(value, defined, jackknife[~np.isnan(jackknife)], tails)
    low, high = np.quantile(defined, tails)
    return float(low), float(high)


def bca_tails(value: float, samples: np.ndarray, jackknife: np.ndarray, tails: np.ndarray) -> np.ndarray:
    """Shares of the samples to cut at, corrected for bias and acceleration (Efron, 1987)."""
    bias = norm.ppf((np.mean(samples < value) + np.mean(samples <= value)) / 2)
    if not np.isfinite(bias):
        return tails
    deviations = jackknife.mean() - jackknife if jackknife.size else np.zeros(1)
    spread = np.sum(deviations**2)
    acceleration = np.sum(deviations**3) / (6 * spread**1.5) if spread > 0 else 0.0
    shifted = bias + norm.ppf(tails)
    return norm.cdf(bias + shifted / (1 - acceleration * shifted))
