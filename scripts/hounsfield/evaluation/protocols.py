"""Published ways of scoring, to set beside the honest one where papers are to be compared."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from hounsfield.evaluation.metrics import nanmean
from hounsfield.evaluation.pairs import MACRO
from hounsfield.evaluation.predictions import Predictions
from hounsfield.evaluation.scored_model import ScoredModel
from hounsfield.evaluation.settings import EvaluationSettings

PROTOCOL_COLUMNS = ["model", "seed", "protocol", "pathology", "metric", "value", "note"]
HONEST = "threshold from validation"
OPTIMISTIC = "optimistic: threshold chosen on the test labels"
CT_CLIP_GRID = np.linspace(0, 1, 100)
METRICS = ("weighted_f1", "accuracy", "precision")


def protocol_table(
    scored_models: Mapping[str, Mapping[int, ScoredModel]], pathologies: Sequence[str], settings: EvaluationSettings
) -> pd.DataFrame:
    """Each protocol of the settings, and its metrics with the thresholds from validation; empty if none is asked."""
    rows = []
    for model, seeds in scored_models.items():
        for seed, scored in seeds.items():
            for name in settings.protocols:
                published = scored.test.probabilities > ct_clip_thresholds(scored.test)
                for protocol, decisions, note in (
                    ("validation", scored.decisions, HONEST),
                    (name, published, OPTIMISTIC),
                ):
                    values = ct_clip_metrics(scored.test.labels, decisions)
                    for metric, each in values.items():
                        cells = zip([*pathologies, MACRO], [*each, float(nanmean(each))], strict=True)
                        rows += [[model, seed, protocol, label, metric, value, note] for label, value in cells]
    return pd.DataFrame(rows, columns=PROTOCOL_COLUMNS)


def ct_clip_thresholds(test: Predictions) -> np.ndarray:
    """CT-CLIP's thresholds (P,): of 100 from 0 to 1 the last nearest to the corner of the test labels' ROC curve."""
    result = np.full(test.labels.shape[1], np.nan)
    for j, (labels, probabilities) in enumerate(zip(test.labels.T, test.probabilities.T, strict=True)):
        kinds = [np.sort(probabilities[labels == kind]) for kind in (1, 0)]
        if not all(len(kind) for kind in kinds):
            continue
        tpr, fpr = (1 - np.searchsorted(kind, CT_CLIP_GRID, side="right") / len(kind) for kind in kinds)
        distance = np.sqrt((1 - tpr) ** 2 + fpr**2)
        result[j] = CT_CLIP_GRID[np.flatnonzero(distance <= distance.min())[-1]]
    return result


def ct_clip_metrics(labels: np.ndarray, decisions: np.ndarray) -> dict[str, np.ndarray]:
    """Metrics (P,) of labels and decisions (N, P): F1 weighted over both kinds, accuracy, precision.

    They are nan of a label with only one kind, as its threshold cannot be chosen.
    """
    positive, negative = labels == 1, labels == 0
    tp, fp = (np.sum(kind & decisions, axis=0).astype(np.float64) for kind in (positive, negative))
    positives, negatives = positive.sum(axis=0), negative.sum(axis=0)
    fn, tn, n = positives - tp, negatives - fp, positives + negatives
    with np.errstate(invalid="ignore", divide="ignore"):
        f1, f1_negative = (2 * hit / (2 * hit + fp + fn) for hit in (tp, tn))
        weighted = (positives * f1 + negatives * f1_negative) / n
        values = {"weighted_f1": weighted, "accuracy": (tp + tn) / n, "precision": tp / (tp + fp)}
    both = (positives > 0) & (negatives > 0)
    return {name: np.where(both, value, np.nan) for name, value in values.items()}
