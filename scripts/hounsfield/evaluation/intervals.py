"""Estimates of one label's metrics, with intervals that hold for few patients and at 0 and 1.

Each estimate carries its patients' influence: how much each of them moved it. Sums of squares and products of
influences are variances and covariances with scans clustered in patients (for AUROC those of DeLong, DeLong and
Clarke-Pearson, 1988, and Obuchowski, 1997), so that means over labels and differences between models follow.

docs/inference.md shows by simulation what each interval covers, and what the usual ones do.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit, logit
from scipy.stats import rankdata, t

# Below so many patients with a kind, what the sample says of it is chance.
LEAST_PATIENTS = 3


@dataclass(frozen=True)
class Estimate:
    """value; below, above: its standard errors towards either side, to be multiplied by a quantile of t with as many
    degrees of freedom as patients, less one. influence (patients,): sums to 0.

    reason: why no interval is to be shown; "" if one is. All is nan where the value is undefined.
    """

    value: float
    below: float
    above: float
    influence: np.ndarray
    reason: str = ""

    @property
    def freedom(self) -> int:
        """Degrees of freedom."""
        return max(len(self.influence) - 1, 1)

    @property
    def variance(self) -> float:
        """Of the value, over patients; 0 where none of them disagrees."""
        return covariance(self.influence, self.influence)

    def interval(self, confidence: float) -> tuple[float, float]:
        """Lower and upper limit; nan where there is a reason not to show them."""
        if self.reason:
            return float("nan"), float("nan")
        width = quantile(confidence, self.freedom)
        return self.value - width * self.below, self.value + width * self.above


def quantile(confidence: float, freedom: float) -> float:
    """Of Student's t, two-sided."""
    return float(t.ppf((1 + confidence) / 2, freedom))


def covariance(a: np.ndarray, b: np.ndarray) -> float:
    """Of two estimates, from their influences (patients,) or (patients, k)."""
    k = len(a)
    return k / (k - 1) * (a.T @ b) if k > 1 else 0.0 * (a.T @ b)


def undefined(patients: int, reason: str = "undefined") -> Estimate:
    """The estimate of what has no value."""
    return Estimate(*[float("nan")] * 3, np.zeros(patients), reason)


def auroc(positive: np.ndarray, scores: np.ndarray, patients: np.ndarray, size: int, confidence: float) -> Estimate:
    """AUROC of cases (N,): Newcombe's score interval (2006, method 5) on the effective numbers of both kinds.

    patients (N,): numbers below `size`. The effective numbers are the cases' divided by Obuchowski's variance over
    Newcombe's own, at most the cases and at least the patients of each kind: the latter where the AUROC is 0 or 1.
    """
    if not positive.any() or positive.all():
        return undefined(size)
    above, below = placements(positive, scores)
    value, counts = above.mean(), np.array([len(above), len(below)])
    kinds = np.array([len(np.unique(patients[kind])) for kind in (positive, ~positive)])
    influence = _sums(patients[positive], (above - value) / counts[0], size, kinds[0])
    influence = influence + _sums(patients[~positive], (below - value) / counts[1], size, kinds[1])
    effective = kinds.astype(np.float64)
    spread, usual = covariance(influence, influence), newcombe_variance(value, *counts)
    if kinds.min() > 1 and spread > 0:
        effective = counts / np.clip(spread / usual, 1, np.max(counts / kinds))
    width = quantile(confidence, max(size - 1, 1))
    limits = newcombe_limits(value, *effective, width)
    return _estimate(value, limits, width, influence, few_patients(*kinds))


def placements(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of negatives below each positive (M,), and of positives above each negative (N,); ties count half."""
    ranks = rankdata(scores)
    n_positive, n_negative = positive.sum(), (~positive).sum()
    above = (ranks[positive] - rankdata(scores[positive])) / n_negative
    below = 1 - (ranks[~positive] - rankdata(scores[~positive])) / n_positive
    return above, below


def newcombe_variance(value: float | np.ndarray, positives: float, negatives: float) -> float | np.ndarray:
    """Of an AUROC of so many independent cases, as Hanley and McNeil (1982) with Newcombe's symmetric counts."""
    others = (positives + negatives) / 2 - 1
    spread = 1 + others * (1 - value) / (2 - value) + others * value / (1 + value)
    return value * (1 - value) * spread / (positives * negatives)


def newcombe_limits(value: float, positives: float, negatives: float, width: float) -> tuple[float, float]:
    """The AUROCs from which `value` is `width` standard errors away."""
    limits = []
    for near, far in ((value, 0.0), (value, 1.0)):
        # At the value the distance is 0 and too small; towards 0 or 1 the variance vanishes and it is too large.
        for _ in range(60):
            middle = (near + far) / 2
            too_far = (middle - value) ** 2 > width**2 * newcombe_variance(middle, positives, negatives)
            near, far = (near, middle) if too_far else (middle, far)
        limits.append(float((near + far) / 2))
    return limits[0], limits[1]


def proportion(hits: np.ndarray, patients: np.ndarray, size: int, confidence: float) -> Estimate:
    """The share of hits (N,) bool: Wilson's interval (1927) on the effective number of cases.

    That is the cases' divided by the clustered over the binomial variance, at most by the mean size of a case's
    cluster; the number of patients where all or none are hits.
    """
    n = len(hits)
    if n == 0:
        return undefined(size)
    value = float(hits.mean())
    sizes = np.bincount(patients)
    k = np.count_nonzero(sizes)
    influence = _sums(patients, (hits - value) / n, size, k)
    binomial = value * (1 - value) / n
    effective = float(k)
    if k > 1 and binomial > 0:
        effective = n / np.clip(covariance(influence, influence) / binomial, 1, np.sum(sizes**2) / n)
    width = quantile(confidence, max(size - 1, 1))
    return _estimate(value, wilson_limits(value, effective, width), width, influence)


def f1(hits: np.ndarray, patients: np.ndarray, size: int, confidence: float) -> Estimate:
    """F1 from the cases that are positive or called so, `hits` both.

    It is 2 J / (1 + J) of the share J of hits (Jaccard's), and so are its limits.
    """
    share = proportion(hits, patients, size, confidence)
    width = quantile(confidence, share.freedom)
    limits = (2 * limit / (1 + limit) for limit in share.interval(confidence))
    slope = 2 / (1 + share.value) ** 2
    return _estimate(2 * share.value / (1 + share.value), tuple(limits), width, slope * share.influence, share.reason)


def wilson_limits(value: float, n: float, width: float) -> tuple[float, float]:
    """The proportions from which `value` of n cases is `width` standard errors away."""
    centre = value + width**2 / (2 * n)
    reach = width * np.sqrt(value * (1 - value) / n + width**2 / (4 * n**2))
    scale = 1 + width**2 / n
    return max((centre - reach) / scale, 0.0), min((centre + reach) / scale, 1.0)


def average_precision(
    positive: np.ndarray, scores: np.ndarray, patients: np.ndarray, size: int, confidence: float
) -> Estimate:
    """Average precision of cases (N,): the interval of its logit (Boyd, Eng and Page, 2013), variance over patients.

    The quantile is t's with the smaller of the patients with a positive less one and what the influences are worth.
    """
    if not positive.any():
        return undefined(size)
    value, each = average_precision_influence(positive, scores)
    influence = _sums(patients, each, size)
    kinds = [len(np.unique(patients[kind])) for kind in (positive, ~positive)]
    width = quantile(confidence, max(size - 1, 1))
    freedom = max(min(effective_freedom(influence), kinds[0] - 1), 1)
    limits = _logit_limits(value, np.sqrt(covariance(influence, influence)) * quantile(confidence, freedom))
    if limits is None:
        limits = wilson_limits(value, kinds[0], width)
    return _estimate(value, limits, width, influence, few_patients(*kinds))


def average_precision_influence(positive: np.ndarray, scores: np.ndarray) -> tuple[float, np.ndarray]:
    """Average precision and its derivative by each case's weight (N,), less the mean, over the number of cases."""
    order = np.argsort(-scores, kind="stable")
    ranked, hit = scores[order], positive[order]
    # Cases of equal score stand at the last place of their tie.
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    place = np.repeat(last, np.diff(last, prepend=-1))
    called, found = place + 1.0, np.cumsum(hit)[place]
    precision, m = found / called, hit.sum()
    value = float(precision[hit].sum() / m)
    # A case counts in the precision of every positive that stands no higher.
    first = np.concatenate([[0], last[:-1] + 1])
    start = np.repeat(first, np.diff(last, prepend=-1))
    gains, losses = (np.cumsum((hit * each)[::-1])[::-1][start] / m for each in (1 / called, found / called**2))
    influence = np.empty(len(scores))
    influence[order] = hit * (precision - value) / m + hit * gains - losses
    return value, influence


def mean_error(
    errors: np.ndarray, positive: np.ndarray, patients: np.ndarray, size: int, confidence: float
) -> Estimate:
    """The mean of errors (N,) between 0 and 1, such as Brier's: the interval of its logit, its variance over patients.

    A few large errors make the variance itself uncertain, so the quantile is t's with what the influences are worth.
    """
    n = len(errors)
    if n == 0:
        return undefined(size)
    value = float(errors.mean())
    influence = _sums(patients, (errors - value) / n, size)
    freedom = max(min(effective_freedom(influence), size - 1), 2)
    limits = _logit_limits(value, np.sqrt(covariance(influence, influence)) * quantile(confidence, freedom))
    kinds = [len(np.unique(patients[kind])) for kind in (positive, ~positive)]
    width = quantile(confidence, max(size - 1, 1))
    return _estimate(value, limits or (value, value), width, influence, few_patients(*kinds))


def effective_freedom(influence: np.ndarray) -> float:
    """Degrees of freedom of the variance that influences give: 2 V^2 / var(V), from their fourth moment.

    As many as patients where influences are normal, 2 where one patient makes up the variance.
    """
    moved = influence[influence != 0]
    if len(moved) < 2:
        return 1.0
    squares, fourths = np.sum(moved**2) ** 2, np.sum(moved**4)
    return float(2 * squares / max(fourths - squares / len(moved), np.finfo(float).tiny))


def few_patients(positive: int | None, negative: int | None) -> str:
    """The reason not to show an interval; "" if there are enough patients with each kind that matters (is not None)."""
    for count, kind in ((positive, "positive"), (negative, "negative")):
        if count is not None and count < LEAST_PATIENTS:
            return f"{kind} in fewer than {LEAST_PATIENTS} patients"
    return ""


def within_folds(
    function: Callable[..., Estimate],
    positive: np.ndarray,
    scores: np.ndarray,
    patients: np.ndarray,
    size: int,
    confidence: float,
    folds: np.ndarray,
) -> Estimate:
    """A ranking metric, `function`, of cases (N,) that are ranked within their fold (N,) alone.

    Scores of the folds' networks have no common scale: ranked all together, they are biased downwards (Forman and
    Scholz, 2010). An AUROC is over the pairs within folds (Airola et al., 2011), so each fold weighs by its pairs; an
    average precision is a mean over positives, so each weighs by those.
    """
    present = np.unique(folds)
    if len(present) < 2:
        return function(positive, scores, patients, size, confidence)
    parts, weights = [], []
    for fold in present:
        rows = folds == fold
        pairs = np.sum(positive[rows]) * np.sum(~positive[rows])
        if pairs:
            parts.append(function(positive[rows], scores[rows], patients[rows], size, confidence))
            weights.append(pairs if function is auroc else np.sum(positive[rows]))
    if not parts:
        return undefined(size)
    # Whether there are enough patients is said of all folds together.
    mean = mean_of([replace(part, reason="") for part in parts], confidence, np.divide(weights, np.sum(weights)))
    kinds = [len(np.unique(patients[kind])) for kind in (positive, ~positive)]
    return replace(mean, reason=few_patients(*kinds))


def mean_of(estimates: Sequence[Estimate], confidence: float, weights: np.ndarray | None = None) -> Estimate:
    """The mean of estimates on the same patients, such as labels, its limits recovered from theirs.

    weights (k,): sum to 1; equal ones if there are none.

    MOVER (Zou and Donner, 2008), but on neither side nearer than the variance of the mean itself, with the t that the
    influences are worth. It has a reason where all of the estimates have one.
    """
    influences = np.stack([each.influence for each in estimates], axis=1)
    together = correlations(covariance(influences, influences))
    shares = 1 / len(estimates) if weights is None else weights
    influence = np.average(influences, axis=1, weights=weights)
    freedom = max(len(influence) - 1, 1)
    worth = max(min(effective_freedom(influence), freedom), 2)
    least = np.sqrt(covariance(influence, influence)) * quantile(confidence, worth) / quantile(confidence, freedom)
    sides = (np.array([getattr(each, side) for each in estimates]) * shares for side in ("below", "above"))
    below, above = (max(float(np.sqrt(max(side @ together @ side, 0.0))), float(least)) for side in sides)
    reason = estimates[0].reason if all(each.reason for each in estimates) else ""
    value = float(np.average([each.value for each in estimates], weights=weights))
    return Estimate(value, below, above, influence, reason)


def correlations(covariances: np.ndarray) -> np.ndarray:
    """Of covariances (k, k); one of no variance goes with none."""
    scale = np.sqrt(np.diag(covariances))
    product = np.outer(scale, scale)
    result = np.divide(covariances, product, out=np.zeros_like(product), where=product > 0)
    np.fill_diagonal(result, 1.0)
    return result


def _logit_limits(value: float, reach: float) -> tuple[float, float] | None:
    if not 0 < value < 1 or reach == 0:
        return None
    reach = reach / (value * (1 - value))
    return float(expit(logit(value) - reach)), float(expit(logit(value) + reach))


def _estimate(
    value: float, limits: tuple[float, float], width: float, influence: np.ndarray, reason: str = ""
) -> Estimate:
    below, above = max(value - limits[0], 0.0) / width, max(limits[1] - value, 0.0) / width
    return Estimate(float(value), float(below), float(above), influence, reason)


def _sums(patients: np.ndarray, values: np.ndarray, size: int, counted: int | None = None) -> np.ndarray:
    """Sums over patients, scaled so that `covariance`, which divides by all less one, divides by `counted` less one."""
    sums = np.bincount(patients, values, size)
    if counted is None or counted < 2:
        return sums
    return sums * np.sqrt(counted / (counted - 1) * (size - 1) / size)
