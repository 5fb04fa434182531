"""All metrics of one set of predictions, by name."""

from collections.abc import Sequence

import numpy as np

from hounsfield.evaluation.bootstrap import point_metrics
from hounsfield.evaluation.scores import scores_of
from hounsfield.evaluation.weighted import make_sample

SHORT_NAMES = {"roc_auc": "auc"}


def compute_metrics(
    logits: np.ndarray, labels: np.ndarray, pathologies: Sequence[str], thresholds: float | Sequence[float] = 0.5
) -> dict[str, float]:
    """Metrics of logits and labels (N, P), a label nan where unknown; an undefined metric is nan.

    thresholds: one, or one a pathology, on the probability. Keys: `{metric}_macro`, `{metric}_micro`, `accuracy`, and
    `{pathology}_auc`, `_average_precision`, `_f1`, `_precision`, `_recall`, `_sensitivity`, `_specificity`,
    `_accuracy`, `_brier`. Raises ValueError if the shapes do not match or a label is not 1, 0 or nan.
    """
    scores = scores_of(labels, logits)
    if scores.labels.shape[1] != len(pathologies):
        raise ValueError(f"{scores.labels.shape[1]} columns of labels for {len(pathologies)} pathologies")
    limits = np.broadcast_to(np.asarray(thresholds, np.float64), (len(pathologies),))
    metrics = point_metrics(make_sample(scores, scores.probabilities >= limits))
    result = {name: float(values[0]) for name, values in metrics.overall.items()}
    for metric, values in metrics.columns.items():
        for column, name in enumerate(pathologies):
            result[f"{name}_{SHORT_NAMES.get(metric, metric)}"] = float(values[0, column])
    return result
