"""Metrics of many resamples at once.

A resample gives each case a weight: how often it was drawn. After one sort, AUROC and average precision of all
resamples follow from running sums, and the confusion matrices from one matrix product.
"""

import numba
import numpy as np

from hounsfield.evaluation.scores import Scores

THRESHOLD_METRICS = ("f1", "precision", "recall", "sensitivity", "specificity", "accuracy")
RANKING_METRICS = ("roc_auc", "average_precision")
PER_PATHOLOGY = (*RANKING_METRICS, *THRESHOLD_METRICS, "brier")


def per_pathology_metrics(scores: Scores, thresholds: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Each metric of PER_PATHOLOGY as (R, P), nan where undefined; `weights` (R, N) of R resamples, thresholds (P,)."""
    columns = [
        _column(scores.labels[:, j], scores.probabilities[:, j], thresholds[j], weights)
        for j in range(scores.labels.shape[1])
    ]
    return {name: np.stack([column[name] for column in columns], axis=1) for name in PER_PATHOLOGY}


def overall_metrics(
    scores: Scores, thresholds: np.ndarray, weights: np.ndarray, columns: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Macro (mean over the labels where it is defined) and micro (all labels pooled) of each metric, as (R,)."""
    result = {f"{name}_macro": _nanmean(values) for name, values in columns.items()}
    n, p = scores.labels.shape
    labels, probabilities = scores.labels.ravel(), scores.probabilities.ravel()
    rows = np.repeat(np.arange(n), p)
    auc, precision = _ranking(labels, probabilities, rows, weights)
    result |= {"roc_auc_micro": auc, "average_precision_micro": precision}
    counts = sum(
        _confusion(scores.labels[:, j], scores.probabilities[:, j] >= thresholds[j], weights) for j in range(p)
    )
    pooled = _from_confusion(counts)
    return result | {f"{name}_micro": pooled[name] for name in THRESHOLD_METRICS}


def ranking_metrics(
    labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """AUROC and average precision (R,) of one label (N,) under weights (R, N), nan where one kind is absent."""
    return _ranking(labels, probabilities, np.arange(len(labels)), weights)


def _column(labels: np.ndarray, probabilities: np.ndarray, threshold: float, weights: np.ndarray) -> dict:
    auc, precision = ranking_metrics(labels, probabilities, weights)
    result = {"roc_auc": auc, "average_precision": precision}
    result |= _from_confusion(_confusion(labels, probabilities >= threshold, weights))
    known = ~np.isnan(labels)
    squared = np.where(known, (probabilities - np.where(known, labels, 0)) ** 2, 0)
    return result | {"brier": _ratio(weights @ squared, weights @ known.astype(float))}


def _ranking(labels: np.ndarray, probabilities: np.ndarray, rows: np.ndarray, weights: np.ndarray) -> tuple:
    known = ~np.isnan(labels)
    labels, probabilities, rows = labels[known], probabilities[known], rows[known]
    order = np.argsort(-probabilities, kind="stable")
    ranked = probabilities[order]
    ends = np.append(ranked[1:] != ranked[:-1], True) if len(ranked) else np.zeros(0, bool)
    return _rank_sums(labels[order] == 1, rows[order], ends, np.ascontiguousarray(weights, np.float64))


@numba.njit(cache=True, nogil=True)
def _rank_sums(positive, rows, ends, weights):
    """Down the ranking, cases of equal score together: ROC area by trapezoids, mean precision by steps."""
    auc = np.full(weights.shape[0], np.nan)
    average_precision = np.full(weights.shape[0], np.nan)
    for r in range(weights.shape[0]):
        true, false, tied_true, tied_false, area, precision = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for i in range(positive.size):
            weight = weights[r, rows[i]]
            if positive[i]:
                tied_true += weight
            else:
                tied_false += weight
            if ends[i]:
                area += tied_false * (true + tied_true / 2)
                true += tied_true
                false += tied_false
                if tied_true > 0:
                    precision += tied_true * true / (true + false)
                tied_true, tied_false = 0.0, 0.0
        if true > 0 and false > 0:
            auc[r] = area / (true * false)
            average_precision[r] = precision / true
    return auc, average_precision


def _confusion(labels: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(R, 4): true and false positives, false and true negatives."""
    positive, negative = labels == 1, labels == 0
    cells = np.stack([positive & predicted, negative & predicted, positive & ~predicted, negative & ~predicted], axis=1)
    return weights @ cells.astype(np.float64)


def _from_confusion(counts: np.ndarray) -> dict[str, np.ndarray]:
    tp, fp, fn, tn = counts.T
    both = (tp + fn > 0) & (tn + fp > 0)
    sensitivity = _ratio(tp, tp + fn)
    metrics = {
        "f1": _ratio(2 * tp, 2 * tp + fp + fn),
        "precision": _ratio(tp, tp + fp),
        "recall": sensitivity,
        "sensitivity": sensitivity,
        "specificity": _ratio(tn, tn + fp),
        "accuracy": _ratio(tp + tn, tp + fp + fn + tn),
    }
    # Without positives F1 and precision could only be 0, and without negatives specificity has no meaning.
    return {name: np.where(both, values, np.nan) for name, values in metrics.items()}


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=np.asarray(below) > 0)


def _nanmean(values: np.ndarray) -> np.ndarray:
    defined = ~np.isnan(values)
    return _ratio(np.where(defined, values, 0).sum(axis=1), defined.sum(axis=1))
