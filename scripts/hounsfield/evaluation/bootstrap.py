"""A model's metrics on the sample and on resamples of its patients, and the intervals that follow."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain

import numpy as np
from scipy.stats import norm

from hounsfield.compiled import njit
from hounsfield.evaluation.finding import Interval
from hounsfield.evaluation.metrics import Metrics, Sample, make_sample, nanmean, point_metrics, weighted_metrics
from hounsfield.evaluation.predictions import Predictions
from hounsfield.evaluation.settings import EvaluationSettings

# 64 resamples of 50,000 scans are 6 MB, and a case's weights in all of them two cache lines.
BLOCK = 64
JACKKNIFE_GROUPS = 400


def bootstrap_blocks(patients: np.ndarray, replicates: int, seed: int) -> Iterator[np.ndarray]:
    """Blocks (N, up to 64) uint16: how often each case is in each resample of as many patients, with replacement.

    Depends on the patients' numbers (N,), which run from 0, and on the seed alone.
    """
    n_patients = int(patients.max()) + 1 if len(patients) else 0
    for number, start in enumerate(range(0, replicates, BLOCK)):
        width = min(BLOCK, replicates - start)
        random = np.random.default_rng([seed, number])
        counts = np.zeros((n_patients, width), np.uint16)
        if n_patients:
            _count(random.integers(n_patients, size=(width, n_patients), dtype=np.int32), counts)
        yield counts[patients]


def jackknife_blocks(patients: np.ndarray, groups: int = JACKKNIFE_GROUPS) -> Iterator[np.ndarray]:
    """Blocks (N, up to 64) uint16 of the samples that each leave one group of patients out."""
    n_patients = int(patients.max()) + 1 if len(patients) else 0
    groups = min(groups, n_patients)
    group = (np.arange(n_patients) % max(groups, 1))[patients]
    for start in range(0, groups, BLOCK):
        left_out = np.arange(start, min(start + BLOCK, groups))
        yield (group[:, None] != left_out).astype(np.uint16)


@njit(nogil=True)
def _count(drawn: np.ndarray, counts: np.ndarray) -> None:
    for resample in range(drawn.shape[0]):
        for patient in drawn[resample]:
            counts[patient, resample] += 1


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


@dataclass(frozen=True)
class Resampled:
    """A value with limits from resamples, `reason` where they have none; p: two-sided, of a difference of zero."""

    interval: Interval
    samples: np.ndarray
    reason: str = ""

    @property
    def value(self) -> float:
        """The sample's own."""
        return self.interval.value

    @property
    def p(self) -> float:
        """Two-sided, from the resamples."""
        return p_value(self.samples)

    def p_above(self, bound: float) -> float:
        """One-sided: small where the value is surely above the bound."""
        return _tail(self.samples - bound)

    def p_below(self, bound: float) -> float:
        """One-sided: small where the value is surely below the bound."""
        return _tail(bound - self.samples)


def p_value(differences: np.ndarray) -> float:
    """Two-sided, from the share of resamples (R,) on either side of zero; those at zero are half on each.

    It is nan where the interval is: if over a tenth of the resamples leave the difference undefined.
    """
    return float(np.minimum(1.0, 2 * np.minimum(_tail(differences), _tail(-differences))))


def _tail(differences: np.ndarray) -> float:
    """The share of resamples not above zero, the sample itself counted as one of them: never less than 1 / (R + 1)."""
    defined = differences[~np.isnan(differences)]
    if defined.size == 0 or defined.size < DEFINED_SHARE * differences.size:
        return float("nan")
    return float((np.sum(defined < 0) + np.sum(defined == 0) / 2 + 1) / (defined.size + 1))


@dataclass(frozen=True)
class Bootstrap:
    """Metrics of the sample itself (R = 1), of its resamples, and of the jackknife if the interval asks for it.

    chosen[metric]: labels (P,) that its macro mean is over; those where it is defined, unless told.
    """

    value: Metrics
    resamples: Metrics
    jackknife: Metrics | None
    confidence: float
    chosen: Mapping[str, np.ndarray] | None = None

    @property
    def metrics(self) -> list[str]:
        """Names of the overall metrics."""
        return list(self.value.overall)

    def labels(self, metric: str) -> np.ndarray:
        """Labels (P,) that the macro mean of a metric is over."""
        return ~np.isnan(self.value.columns[metric][0]) if self.chosen is None else self.chosen[metric]

    def column(self, metric: str, j: int) -> Resampled:
        """Of pathology number j."""
        return self._find(lambda metrics: metrics.columns[metric][:, j])

    def overall(self, metric: str) -> Resampled:
        """Of a macro or micro mean."""
        return self._find(lambda metrics: metrics.overall[metric])

    def deviations(self, metric: str, j: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """A metric of pathology j, or an overall one, in each resample; resamples know nothing of other trainings."""
        return self.resamples.overall[metric] if j is None else self.resamples.columns[metric][:, j], np.zeros(1)

    def over(self, labels: Mapping[str, np.ndarray]) -> "Bootstrap":
        """The same with macro means over some of the labels (P,) of each metric."""

        def narrowed(metrics: Metrics) -> Metrics:
            macro = {f"{metric}_macro": nanmean(metrics.columns[metric][:, kept]) for metric, kept in labels.items()}
            return Metrics(metrics.columns, metrics.overall | macro)

        jackknife = None if self.jackknife is None else narrowed(self.jackknife)
        return Bootstrap(narrowed(self.value), narrowed(self.resamples), jackknife, self.confidence, dict(labels))

    def minus(self, other: "Bootstrap", independent: bool = False) -> "Bootstrap":
        """The difference in each resample; `independent`: of other patients, whose resamples pair at random.

        Both sides drew from one seed, so one of them is taken in reverse; no group of patients is in both jackknives.
        """
        if not independent:
            return replace(_combined(np.subtract, [self, other]), chosen=self.chosen)
        kinds = ({name: values[::-1] for name, values in kind.items()} for kind in vars(other.resamples).values())
        turned = replace(other, resamples=Metrics(*kinds), jackknife=None)
        return replace(_combined(np.subtract, [replace(self, jackknife=None), turned]), chosen=self.chosen)

    @staticmethod
    def mean(results: Sequence["Bootstrap"]) -> "Bootstrap":
        """The mean metric of runs scored on the same resamples, in each resample: the test patients' variance alone."""
        return replace(_combined(lambda *parts: np.mean(parts, axis=0), results), chosen=results[0].chosen)

    def _find(self, pick: Callable[[Metrics], np.ndarray]) -> Resampled:
        value, samples = float(pick(self.value)[0]), pick(self.resamples)
        jackknife = None if self.jackknife is None else pick(self.jackknife)
        limits = interval(value, samples, jackknife, self.confidence)
        reason = (
            "undefined"
            if np.isnan(value)
            else "undefined in over a tenth of the resamples"
            if np.isnan(limits[0])
            else ""
        )
        return Resampled(Interval(value, *limits), samples, reason)


def bootstrap(predictions: Predictions, decisions: np.ndarray, settings: EvaluationSettings) -> Bootstrap:
    """Metrics of the scores, with `decisions` (N, P), and of `settings.replicates` resamples of their patients."""
    if predictions.folds is not None and len(np.unique(predictions.folds)) > 1:
        return _bootstrap_within_folds(predictions, decisions, settings)
    sample = make_sample(predictions, decisions)
    resamples = metrics_of(sample, bootstrap_blocks(predictions.patients, settings.replicates, settings.seed))
    jackknife = None
    if settings.interval == "bca":
        jackknife = metrics_of(sample, jackknife_blocks(predictions.patients))
    return Bootstrap(point_metrics(sample), resamples, jackknife, settings.confidence)


def _bootstrap_within_folds(predictions: Predictions, decisions: np.ndarray, settings: EvaluationSettings) -> Bootstrap:
    """Ranking metrics are of cases within their fold, whose patients are resampled among themselves.

    Each fold weighs as in `intervals.within_folds`; the metrics of decisions count all cases together.
    """
    whole = bootstrap(replace(predictions, folds=None), decisions, settings)
    parts, positives, negatives = [], [], []
    for number, fold in enumerate(np.unique(predictions.folds)):
        rows = predictions.folds == fold
        own, seeded = replace(predictions.take(rows), folds=None), replace(settings, seed=settings.seed + number)
        parts.append(bootstrap(own, decisions[rows], seeded))
        positives.append(np.sum(own.labels == 1, axis=0, dtype=float))
        negatives.append(np.sum(own.labels == 0, axis=0, dtype=float))
    micro = [np.sum(kind, axis=1, keepdims=True) for kind in (positives, negatives)]
    for block, suffix, counts in (("columns", "", (positives, negatives)), ("overall", "_micro", micro)):
        pairs = np.multiply(*counts)
        weights = {"roc_auc": pairs, "average_precision": np.where(pairs > 0, counts[0], 0.0)}
        for metric, each in weights.items():
            for kind in ("value", "resamples", "jackknife"):
                if getattr(whole, kind) is not None:
                    name = f"{metric}{suffix}"
                    pick = partial(_pick, block=block, name=name)
                    getattr(getattr(whole, kind), block)[name] = _weighted(parts, kind, each, pick)
    return whole.over({metric: whole.labels(metric) for metric in whole.value.columns})


def _pick(metrics: Metrics, block: str, name: str) -> np.ndarray:
    return getattr(metrics, block)[name]


def _weighted(
    parts: Sequence[Bootstrap], kind: str, weights: np.ndarray, pick: Callable[[Metrics], np.ndarray]
) -> np.ndarray:
    """The folds' metrics (R, P) or (R,) by weights (folds, P); of the jackknife, a fold's groups beside the others."""

    def mixed(metrics: Sequence[Metrics]) -> np.ndarray:
        found = np.stack(np.broadcast_arrays(*(pick(each).reshape(-1, weights.shape[1]) for each in metrics)))
        # A resample may leave a fold with one kind alone: the others then stand for all.
        shares = weights[:, None] * ~np.isnan(found)
        total = shares.sum(axis=0)
        sums = np.sum(shares * np.nan_to_num(found), axis=0)
        mean = np.divide(sums, total, out=np.full_like(sums, np.nan), where=total > 0)
        return mean.reshape(-1, *pick(metrics[0]).shape[1:])

    if kind != "jackknife":
        return mixed([getattr(part, kind) for part in parts])
    points, each = [part.value for part in parts], []
    for place, part in enumerate(parts):
        assert part.jackknife is not None  # as the whole one's
        each.append(mixed([*points[:place], part.jackknife, *points[place + 1 :]]))
    return np.concatenate(each)


def metrics_of(sample: Sample, blocks: Iterable[np.ndarray]) -> Metrics:
    """Metrics under each block of weights (N, up to 64), joined."""
    # An empty block in front gives the shapes where there is no other.
    empty = np.zeros((sample.cells.shape[1], 0), np.uint16)
    parts = [Metrics(*weighted_metrics(sample, block)) for block in chain([empty], blocks)]
    return _zipped(lambda *arrays: np.concatenate(arrays), parts)


def _combined(function: Callable[..., np.ndarray], results: Sequence[Bootstrap]) -> Bootstrap:
    value, resamples = (_zipped(function, [getattr(each, kind) for each in results]) for kind in ("value", "resamples"))
    jackknife = None
    if results[0].jackknife is not None:
        jackknife = _zipped(function, [each.jackknife for each in results])
    return Bootstrap(value, resamples, jackknife, results[0].confidence)


def _zipped(function: Callable[..., np.ndarray], parts: Sequence[Metrics]) -> Metrics:
    columns, overall = (
        {name: function(*(getattr(part, kind)[name] for part in parts)) for name in getattr(parts[0], kind)}
        for kind in ("columns", "overall")
    )
    return Metrics(columns, overall)
