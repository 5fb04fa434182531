"""A model's metrics on the sample and on resamples of its patients, and the intervals that follow."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numba
import numpy as np
from scipy.stats import norm

from hounsfield.evaluation.metrics import Metrics, Sample, make_sample, point_metrics, weighted_metrics
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


@numba.njit(cache=True, nogil=True)
def _count(drawn, counts):
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
class Bootstrap:
    """Metrics of the sample itself (R = 1), of its resamples, and of the jackknife if the interval asks for it."""

    value: Metrics
    resamples: Metrics
    jackknife: Metrics | None
    confidence: float

    def overall(self, metric: str) -> tuple[float, float, float]:
        """The value and its interval."""
        return self._interval(lambda metrics: metrics.overall[metric])

    def column(self, metric: str, j: int) -> tuple[float, float, float]:
        """The value and its interval of pathology number j."""
        return self._interval(lambda metrics: metrics.columns[metric][:, j])

    def _interval(self, pick: Callable[[Metrics], np.ndarray]) -> tuple[float, float, float]:
        value = float(pick(self.value)[0])
        jackknife = None if self.jackknife is None else pick(self.jackknife)
        return value, *interval(value, pick(self.resamples), jackknife, self.confidence)


def bootstrap(predictions: Predictions, decisions: np.ndarray, settings: EvaluationSettings) -> Bootstrap:
    """Metrics of the scores, with `decisions` (N, P), and of `settings.replicates` resamples of their patients."""
    sample = make_sample(predictions, decisions)
    resamples = metrics_of(sample, bootstrap_blocks(predictions.patients, settings.replicates, settings.seed))
    jackknife = None
    if settings.interval == "bca":
        jackknife = metrics_of(sample, jackknife_blocks(predictions.patients))
    return Bootstrap(point_metrics(sample), resamples, jackknife, settings.confidence)


def mean_over_seeds(results: Sequence[Bootstrap]) -> Bootstrap:
    """The mean metric of runs scored on the same resamples, in each resample."""
    return _combined(lambda *parts: np.mean(parts, axis=0), results)


def difference(a: Bootstrap, b: Bootstrap) -> Bootstrap:
    """Metrics of a less those of b, in each resample."""
    return _combined(np.subtract, [a, b])


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
