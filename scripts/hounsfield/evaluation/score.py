"""One model's scores on the test split."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hounsfield.evaluation.intervals import patient_weights, percentile_interval
from hounsfield.evaluation.scores import Scores, gather_scores
from hounsfield.evaluation.settings import EvaluationSettings
from hounsfield.evaluation.thresholds import choose_thresholds
from hounsfield.evaluation.weighted import THRESHOLD_METRICS, overall_metrics, per_pathology_metrics


def score_model(
    val: pd.DataFrame, test: pd.DataFrame, pathologies: Sequence[str], settings: EvaluationSettings
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables `per_pathology` (a row a pathology) and `overall` (metric, value, low, high) of the test predictions.

    Thresholds come from `val` alone. Raises TableError if predictions lack a pathology.
    """
    thresholds = choose_thresholds(gather_scores(val, pathologies, settings.level), settings)
    scores = gather_scores(test, pathologies, settings.level)
    once = np.ones((1, len(scores.labels)))
    weights = patient_weights(scores.patients, settings.replicates, settings.seed)
    values, samples = (per_pathology_metrics(scores, thresholds, each) for each in (once, weights))
    overall = overall_metrics(scores, thresholds, once, values)
    overall_samples = overall_metrics(scores, thresholds, weights, samples)
    rows = []
    for metric, value in overall.items():
        low, high = percentile_interval(overall_samples[metric], settings.confidence)
        rows.append({"metric": metric, "value": value[0], "low": low, "high": high})
    per_pathology = _per_pathology(scores, thresholds, values, samples, pathologies, settings.confidence)
    return per_pathology, pd.DataFrame(rows, columns=["metric", "value", "low", "high"])


def _per_pathology(
    scores: Scores, thresholds: np.ndarray, values: dict, samples: dict, pathologies: Sequence[str], confidence: float
) -> pd.DataFrame:
    rows = []
    for j, name in enumerate(pathologies):
        positive, negative = (int((scores.labels[:, j] == kind).sum()) for kind in (1, 0))
        n = positive + negative
        row = {"pathology": name, "n": n, "n_positive": positive, "n_negative": negative}
        row["prevalence"] = positive / n if n else np.nan
        for metric in ("roc_auc", "average_precision"):
            low, high = percentile_interval(samples[metric][:, j], confidence)
            row |= {metric: values[metric][0, j], f"{metric}_low": low, f"{metric}_high": high}
        row["threshold"] = thresholds[j]
        rows.append(row | {metric: values[metric][0, j] for metric in (*THRESHOLD_METRICS, "brier")})
    return pd.DataFrame(rows)
