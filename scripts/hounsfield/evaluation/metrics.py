"""Metrics of one set of predictions, on the sample or on many resamples of it at once.

A resample gives each case a weight: how often it was drawn. After one sort, AUROC and average precision of all
resamples follow from running sums, and the confusion matrices from one matrix product.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hounsfield.compiled import njit
from hounsfield.evaluation.predictions import Predictions, predictions_of

THRESHOLD_METRICS = ("f1", "precision", "recall", "sensitivity", "specificity", "accuracy")
RANKING_METRICS = ("roc_auc", "average_precision")
PER_PATHOLOGY = (*RANKING_METRICS, *THRESHOLD_METRICS, "brier")


@dataclass(frozen=True)
class Ranking:
    """Cases of known label from the highest score down: positive (K,), rows (K,) of the weights, ends of ties (T,)."""

    positive: np.ndarray
    rows: np.ndarray
    ends: np.ndarray


@dataclass(frozen=True)
class Sample:
    """What of scores and decisions the metrics need, sorted once for any number of resamples.

    cells (5 P, N): for each label true and false positives, positives, negatives, and squared errors.
    """

    rankings: tuple[Ranking, ...]
    pooled: Ranking
    cells: np.ndarray


def make_sample(scores: Predictions, decisions: np.ndarray) -> Sample:
    """`decisions` (N, P): which findings are called present."""
    n, p = scores.labels.shape
    each = tuple(rank(scores.labels[:, j], scores.logits[:, j], np.arange(n)) for j in range(p))
    pooled = rank(scores.labels.ravel(), scores.logits.ravel(), np.repeat(np.arange(n), p))
    positive, negative = scores.labels == 1, scores.labels == 0
    squared = np.where(positive | negative, (scores.probabilities - positive) ** 2, 0)
    cells = [positive & decisions, negative & decisions, positive, negative, squared]
    return Sample(each, pooled, np.ascontiguousarray(np.concatenate(cells, axis=1, dtype=np.float64).T))


def rank(labels: np.ndarray, scores: np.ndarray, rows: np.ndarray) -> Ranking:
    """Sort cases (N,) of one label, unknown (nan) ones left out."""
    known = ~np.isnan(labels)
    labels, scores, rows = labels[known], scores[known], rows[known]
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) + 1 if len(ranked) else np.zeros(0, np.int64)
    return Ranking(labels[order] == 1, rows[order].astype(np.int64), ends)


def weighted_metrics(sample: Sample, weights: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Metrics under weights (N, R) uint16 of R resamples, nan where undefined.

    Returns the metrics of PER_PATHOLOGY as (R, P), and by name (R,): `{metric}_macro` (mean over the labels where it
    is defined), `{metric}_micro` (all labels pooled), and `accuracy`, another name of accuracy_micro.
    """
    weights = np.ascontiguousarray(weights)
    ranked = [ranking_metrics(ranking, weights) for ranking in sample.rankings]
    auc, precision = (np.stack(each, axis=1) for each in zip(*ranked, strict=True))
    sums = (sample.cells @ weights.astype(np.float64)).reshape(5, len(ranked), weights.shape[1])
    columns = {"roc_auc": auc, "average_precision": precision} | _from_sums(sums)
    overall = {f"{name}_macro": nanmean(values) for name, values in columns.items()}
    overall["roc_auc_micro"], overall["average_precision_micro"] = ranking_metrics(sample.pooled, weights)
    pooled = _from_sums(sums.sum(axis=1, keepdims=True))
    overall |= {f"{name}_micro": pooled[name][:, 0] for name in THRESHOLD_METRICS}
    return columns, overall | {"accuracy": overall["accuracy_micro"]}


def ranking_metrics(ranking: Ranking, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AUROC (R,), nan unless both kinds have weight, and average precision (R,), nan unless positives have."""
    return _rank_sums(ranking.positive, ranking.rows, ranking.ends, weights)


def nanmean(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis, leaving nan out; nan where all are."""
    defined = ~np.isnan(values)
    return _ratio(np.where(defined, values, 0).sum(axis=-1), defined.sum(axis=-1))


@njit(nogil=True, error_model="numpy")
def _rank_sums(
    positive: np.ndarray, rows: np.ndarray, ends: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Down the ranking, cases of equal score together: ROC area by trapezoids, mean precision by steps.

    The inner loops run over resamples, whose weights of a case lie side by side, so that they vectorize.
    """
    n = weights.shape[1]
    true, false, area, steps = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n)
    start = 0
    for end in ends:
        if end - start > 1:
            _add_tied(positive[start:end], rows[start:end], weights, true, false, area, steps)
        elif positive[start]:
            row = weights[rows[start]]
            for r in range(n):
                true[r] += row[r]
                # Before the first weight the step is 0 of 0; the larger divisor makes it 0.
                steps[r] += row[r] * true[r] / max(true[r] + false[r], 1.0)
        else:
            row = weights[rows[start]]
            for r in range(n):
                area[r] += row[r] * true[r]
                false[r] += row[r]
        start = end
    # 0 / 0 is nan here: undefined.
    return area / (true * false), steps / true


@njit(nogil=True, error_model="numpy")
def _add_tied(
    positive: np.ndarray,
    rows: np.ndarray,
    weights: np.ndarray,
    true: np.ndarray,
    false: np.ndarray,
    area: np.ndarray,
    steps: np.ndarray,
) -> None:
    n = weights.shape[1]
    tied_true, tied_false = np.zeros(n), np.zeros(n)
    for i in range(len(rows)):
        tied = tied_true if positive[i] else tied_false
        for r in range(n):
            tied[r] += weights[rows[i], r]
    for r in range(n):
        area[r] += tied_false[r] * (true[r] + tied_true[r] / 2)
        true[r] += tied_true[r]
        false[r] += tied_false[r]
        steps[r] += tied_true[r] * true[r] / max(true[r] + false[r], 1.0)


def _from_sums(sums: np.ndarray) -> dict[str, np.ndarray]:
    """Metrics (R, P) of (5, P, R): true positives, false positives, positives, negatives, squared errors."""
    tp, fp, positives, negatives, squared = np.moveaxis(sums, 2, 1)
    sensitivity = _ratio(tp, positives)
    known = positives + negatives
    # Without a positive, F1 and precision could only be 0: that says nothing of the model.
    some = positives > 0
    return {
        "f1": np.where(some, _ratio(2 * tp, tp + fp + positives), np.nan),
        "precision": np.where(some, _ratio(tp, tp + fp), np.nan),
        "recall": sensitivity,
        "sensitivity": sensitivity,
        "specificity": _ratio(negatives - fp, negatives),
        "accuracy": _ratio(tp + negatives - fp, known),
        "brier": _ratio(squared, known),
    }


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=np.asarray(below) > 0)


SHORT_NAMES = {"roc_auc": "auc"}


def compute_metrics(
    logits: np.ndarray, labels: np.ndarray, pathologies: Sequence[str], thresholds: float | Sequence[float] = 0.5
) -> dict[str, float]:
    """Metrics of logits and labels (N, P), a label nan where unknown; an undefined metric is nan.

    thresholds: one, or one a pathology, on the probability. Keys: `{metric}_macro`, `{metric}_micro`, `accuracy`, and
    `{pathology}_auc`, `_average_precision`, `_f1`, `_precision`, `_recall`, `_sensitivity`, `_specificity`,
    `_accuracy`, `_brier`. Raises ValueError if the shapes do not match or a label is not 1, 0 or nan.
    """
    scores = predictions_of(labels, logits)
    if scores.labels.shape[1] != len(pathologies):
        raise ValueError(f"{scores.labels.shape[1]} columns of labels for {len(pathologies)} pathologies")
    limits = np.broadcast_to(np.asarray(thresholds, np.float64), (len(pathologies),))
    metrics = point_metrics(make_sample(scores, scores.probabilities >= limits))
    result = {name: float(values[0]) for name, values in metrics.overall.items()}
    for metric, values in metrics.columns.items():
        for column, name in enumerate(pathologies):
            result[f"{name}_{SHORT_NAMES.get(metric, metric)}"] = float(values[0, column])
    return result


@dataclass(frozen=True)
class Metrics:
    """Metrics of R samples: columns[metric] is (R, P), overall[metric] is (R,); nan where undefined."""

    columns: dict[str, np.ndarray]
    overall: dict[str, np.ndarray]


def point_metrics(sample: Sample) -> Metrics:
    """Metrics of the sample as it is, R = 1."""
    return Metrics(*weighted_metrics(sample, np.ones((sample.cells.shape[1], 1), np.uint16)))
