"""One model's scores on the test split."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from hounsfield.evaluation.analysis import Result, analyse
from hounsfield.evaluation.finding import Finding
from hounsfield.evaluation.metrics import PER_PATHOLOGY, RANKING_METRICS
from hounsfield.evaluation.predictions import Predictions
from hounsfield.evaluation.scored_model import prepare_model
from hounsfield.evaluation.settings import EvaluationSettings

OVERALL_COLUMNS = ["metric", "value", "low", "high", "labels", "reason"]


def score_model(
    val: pd.DataFrame, test: pd.DataFrame, pathologies: Sequence[str], settings: EvaluationSettings
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables `per_pathology` (a row a pathology) and `overall` (a row a metric) of the test predictions.

    Calibration and thresholds come from `val` alone. Raises TableError if predictions lack a column or a logit.
    """
    scored = prepare_model(val, test, pathologies, settings)
    result = analyse(scored.test, scored.decisions, settings)
    return pathology_table(scored.test, scored.thresholds, result, pathologies), overall_table(result)


def operating_points(val: pd.DataFrame, pathologies: Sequence[str], settings: EvaluationSettings) -> pd.DataFrame:
    """What turns a logit into a finding, from validation: pathology, scale, offset, threshold.

    The probability is expit(scale * logit + offset); at or above the threshold it is a finding.
    """
    scored = prepare_model(val, val, pathologies, settings)
    columns = {"scale": scored.calibration.scale, "offset": scored.calibration.offset, "threshold": scored.thresholds}
    return pd.DataFrame({"pathology": list(pathologies)} | columns)


def overall_table(result: Result) -> pd.DataFrame:
    """A row a metric: its interval or the reason why there is none; labels: over how many the mean is."""
    rows = []
    for metric in result.metrics:
        found = result.overall(metric)
        rows.append((metric, *found.interval, label_count(result, metric), found.reason))
    return pd.DataFrame(rows, columns=OVERALL_COLUMNS)


def label_count(result: Result, metric: str) -> int:
    """Over how many labels a macro mean is; a micro mean pools all whose label is known."""
    name = metric.removesuffix("_macro")
    return int(result.labels(name if name != metric else "accuracy").sum())


def pathology_table(
    scores: Predictions, thresholds: np.ndarray, result: Result, pathologies: Sequence[str]
) -> pd.DataFrame:
    """A row a pathology: counts, prevalence, the threshold and the metrics with intervals, or why there are none.

    The intervals of the threshold's metrics and of Brier's, the patients with each kind and the reasons come last.
    """
    rows = []
    for j, name in enumerate(pathologies):
        row = {"pathology": name} | count_labels(scores.labels[:, j])
        found = {metric: result.column(metric, j) for metric in PER_PATHOLOGY}
        others = [metric for metric in PER_PATHOLOGY if metric not in RANKING_METRICS]
        for metric in RANKING_METRICS:
            row |= {metric: found[metric].value} | _limits(metric, found[metric])
        row["threshold"] = thresholds[j]
        row |= {metric: found[metric].value for metric in others}
        for metric in others:
            row |= _limits(metric, found[metric])
        row |= count_patients(scores.labels[:, j], scores.patients)
        rows.append(row | {"reason": reasons(found)})
    return pd.DataFrame(rows)


def reasons(found: Mapping[str, Finding]) -> str:
    """Why intervals are missing: each reason once, after the metrics that it is of, unless it is of all."""
    by_reason: dict[str, list[str]] = {}
    for metric, each in found.items():
        if each.reason:
            by_reason.setdefault(each.reason, []).append(metric)
    told = [
        reason if len(metrics) == len(found) else f"{', '.join(metrics)}: {reason}"
        for reason, metrics in by_reason.items()
    ]
    return "; ".join(told)


def _limits(metric: str, found: Finding) -> dict[str, float]:
    return {f"{metric}_low": found.interval.low, f"{metric}_high": found.interval.high}


def count_patients(labels: np.ndarray, patients: np.ndarray) -> dict[str, int]:
    """Patients with a positive and with a negative of one label (N,)."""
    return {
        f"patients_{kind}": len(np.unique(patients[labels == value]))
        for kind, value in (("positive", 1), ("negative", 0))
    }


def count_labels(labels: np.ndarray) -> dict[str, float]:
    """n, n_positive, n_negative and prevalence of one label (N,), unknown ones left out."""
    positive, negative = (int((labels == kind).sum()) for kind in (1, 0))
    n = positive + negative
    return {"n": n, "n_positive": positive, "n_negative": negative, "prevalence": positive / n if n else np.nan}
