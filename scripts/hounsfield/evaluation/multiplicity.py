"""One rule for everything that is said of a table of tests: p values of a family, corrected together."""

import numpy as np
from scipy.special import ndtr

DRAWS, BLOCK, SEED = 20_000, 2_000, 0


def adjusted(p: np.ndarray, deviations: np.ndarray) -> np.ndarray:
    """p values (F,) of one family, corrected step by step by the smallest p of joint draws (Westfall and Young, 1993).

    deviations (D, F): whatever the tested values' correlations follow from, such as the patients' influences. Where
    tests go together the correction is less than Holm's. Undefined (nan) p values stay so and do not count.
    """
    result = np.full(len(p), np.nan)
    known = np.flatnonzero(~np.isnan(p))
    if not len(known):
        return result
    order = known[np.argsort(p[known], kind="stable")]
    counts = np.zeros(len(order))
    root = _root(deviations[:, order])
    for block in range(DRAWS // BLOCK):
        draws = np.random.default_rng([SEED, block]).normal(size=(BLOCK, root.shape[0])) @ root
        smallest = np.minimum.accumulate((2 * ndtr(-np.abs(draws)))[:, ::-1], axis=1)[:, ::-1]
        counts += (smallest <= p[order]).sum(axis=0)
    # Never less than the p value itself, whatever the draws.
    result[order] = np.maximum(np.maximum.accumulate((counts + 1) / (DRAWS + 1)), p[order]).clip(max=1)
    return result


def _root(deviations: np.ndarray) -> np.ndarray:
    """A matrix (F, F) that turns independent normal numbers into ones correlated as the deviations (D, F)."""
    known = ~np.isnan(deviations)
    means = np.sum(deviations, axis=0, where=known) / np.maximum(known.sum(axis=0), 1)
    centred = np.where(known, deviations - means, 0)
    products = centred.T @ centred
    scale = np.sqrt(np.diag(products))
    correlation = np.divide(
        products, np.outer(scale, scale), out=np.zeros_like(products), where=np.outer(scale, scale) > 0
    )
    np.fill_diagonal(correlation, 1.0)
    values, vectors = np.linalg.eigh(correlation)
    return (vectors * np.sqrt(values.clip(min=0))).T
