"""A model's metrics on the sample and on its resamples."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from hounsfield.evaluation.intervals import interval
from hounsfield.evaluation.resampling import bootstrap_blocks, jackknife_blocks
from hounsfield.evaluation.scores import Scores
from hounsfield.evaluation.settings import EvaluationSettings
from hounsfield.evaluation.weighted import Sample, make_sample, weighted_metrics


@dataclass(frozen=True)
class Metrics:
    """Metrics of R samples: columns[metric] is (R, P), overall[metric] is (R,); nan where undefined."""

    columns: dict[str, np.ndarray]
    overall: dict[str, np.ndarray]


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


def bootstrap(scores: Scores, decisions: np.ndarray, settings: EvaluationSettings) -> Bootstrap:
    """Metrics of the scores, with `decisions` (N, P), and of `settings.replicates` resamples of their patients."""
    sample = make_sample(scores, decisions)
    resamples = metrics_of(sample, bootstrap_blocks(scores.patients, settings.replicates, settings.seed))
    jackknife = None
    if settings.interval == "bca":
        jackknife = metrics_of(sample, jackknife_blocks(scores.patients))
    return Bootstrap(point_metrics(sample), resamples, jackknife, settings.confidence)


def mean_over_seeds(results: Sequence[Bootstrap]) -> Bootstrap:
    """The mean metric of runs scored on the same resamples, in each resample."""
    return _combined(lambda *parts: np.mean(parts, axis=0), results)


def difference(a: Bootstrap, b: Bootstrap) -> Bootstrap:
    """Metrics of a less those of b, in each resample."""
    return _combined(np.subtract, [a, b])


def point_metrics(sample: Sample) -> Metrics:
    """Metrics of the sample as it is, R = 1."""
    return Metrics(*weighted_metrics(sample, np.ones((sample.cells.shape[1], 1), np.uint16)))


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
