"""One model's scores on the test split."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hounsfield.evaluation.bootstrap import Bootstrap, bootstrap
from hounsfield.evaluation.metrics import RANKING_METRICS, THRESHOLD_METRICS
from hounsfield.evaluation.predictions import Predictions
from hounsfield.evaluation.scored_model import prepare_model
from hounsfield.evaluation.settings import EvaluationSettings

OVERALL_COLUMNS = ["metric", "value", "low", "high"]


def score_model(
    val: pd.DataFrame, test: pd.DataFrame, pathologies: Sequence[str], settings: EvaluationSettings
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables `per_pathology` (a row a pathology) and `overall` (metric, value, low, high) of the test predictions.

    Calibration and thresholds come from `val` alone. Raises TableError if predictions lack a column or a logit.
    """
    scored = prepare_model(val, test, pathologies, settings)
    result = bootstrap(scored.test, scored.decisions, settings)
    return pathology_table(scored.test, scored.thresholds, result, pathologies), overall_table(result)


def operating_points(val: pd.DataFrame, pathologies: Sequence[str], settings: EvaluationSettings) -> pd.DataFrame:
    """What turns a logit into a finding, from validation: pathology, scale, offset, threshold.

    The probability is expit(scale * logit + offset); at or above the threshold it is a finding.
    """
    scored = prepare_model(val, val, pathologies, settings)
    columns = {"scale": scored.calibration.scale, "offset": scored.calibration.offset, "threshold": scored.thresholds}
    return pd.DataFrame({"pathology": list(pathologies)} | columns)


def overall_table(result: Bootstrap) -> pd.DataFrame:
    """A row a metric, with its interval."""
    rows = [(metric, *result.overall(metric)) for metric in result.value.overall]
    return pd.DataFrame(rows, columns=OVERALL_COLUMNS)


def pathology_table(
    scores: Predictions, thresholds: np.ndarray, result: Bootstrap, pathologies: Sequence[str]
) -> pd.DataFrame:
    """A row a pathology: counts, prevalence, ranking metrics with intervals, the threshold and its metrics."""
    rows = []
    for j, name in enumerate(pathologies):
        row = {"pathology": name} | count_labels(scores.labels[:, j])
        for metric in RANKING_METRICS:
            row |= dict(zip((metric, f"{metric}_low", f"{metric}_high"), result.column(metric, j), strict=True))
        row["threshold"] = thresholds[j]
        rows.append(row | {name: result.value.columns[name][0, j] for name in (*THRESHOLD_METRICS, "brier")})
    return pd.DataFrame(rows)


def count_labels(labels: np.ndarray) -> dict[str, float]:
    """n, n_positive, n_negative and prevalence of one label (N,), unknown ones left out."""
    positive, negative = (int((labels == kind).sum()) for kind in (1, 0))
    n = positive + negative
    return {"n": n, "n_positive": positive, "n_negative": negative, "prevalence": positive / n if n else np.nan}
