"""All metrics of one set of predictions, by name."""

from collections.abc import Sequence

import numpy as np
from scipy.special import expit

from hounsfield.evaluation.scores import Scores
from hounsfield.evaluation.weighted import overall_metrics, per_pathology_metrics

SHORT_NAMES = {"roc_auc": "auc"}


def compute_metrics(
    logits: np.ndarray, labels: np.ndarray, pathologies: Sequence[str], thresholds: float | Sequence[float] = 0.5
) -> dict[str, float]:
    """Metrics of logits and labels (N, P), a label nan where unknown; an undefined metric is nan.

    thresholds: one, or one a pathology, on the probability. Keys: `{metric}_macro`, `{metric}_micro`, `accuracy`, and
    `{pathology}_auc`, `_average_precision`, `_f1`, `_precision`, `_recall`, `_sensitivity`, `_specificity`,
    `_accuracy`, `_brier`.
    """
    labels = np.asarray(labels, float)
    scores = Scores(labels, expit(np.asarray(logits, float)), np.arange(len(labels)), np.arange(len(labels)))
    limits = np.broadcast_to(np.asarray(thresholds, float), (len(pathologies),))
    once = np.ones((1, len(labels)))
    columns = per_pathology_metrics(scores, limits, once)
    overall = overall_metrics(scores, limits, once, columns)
    result = {name: float(values[0]) for name, values in overall.items()}
    result["accuracy"] = result["accuracy_micro"]
    for metric, values in columns.items():
        for column, name in enumerate(pathologies):
            result[f"{name}_{SHORT_NAMES.get(metric, metric)}"] = float(values[0, column])
    return result
