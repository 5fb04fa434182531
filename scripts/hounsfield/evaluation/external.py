"""The same networks on the test split they were made for, and on another cohort."""

from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np
import pandas as pd

from hounsfield.evaluation.analysis import Result, analyse, mean_over_seeds
from hounsfield.evaluation.metrics import PER_PATHOLOGY
from hounsfield.evaluation.pairs import MACRO
from hounsfield.evaluation.scored_model import ScoredModel, prepare_model
from hounsfield.evaluation.settings import EvaluationSettings

METRICS = ("roc_auc", "average_precision", "f1", "sensitivity", "specificity", "brier")
EXTERNAL_COLUMNS = ["model", "pathology", "metric", "internal", "internal_low", "internal_high"]
EXTERNAL_COLUMNS += ["external", "external_low", "external_high", "difference", "low", "high"]


def external_table(
    predictions: Mapping[str, Mapping[int, tuple[pd.DataFrame, pd.DataFrame]]],
    internal: Mapping[str, Mapping[int, pd.DataFrame]],
    pathologies: Sequence[str],
    settings: EvaluationSettings,
) -> pd.DataFrame:
    """A row a model, metric and pathology, and one of the macro mean over the labels that both cohorts can score.

    predictions[model][seed] = (internal validation, external test); internal[model][seed]: internal test. Calibration
    and thresholds of both sides come from internal validation; values are means over the seeds. difference: external
    less internal, of independent patients.
    Raises TableError if predictions lack a column or a logit.
    """
    rows = []
    for model, seeds in predictions.items():
        home = [prepare_model(val, internal[model][seed], pathologies, settings) for seed, (val, _) in seeds.items()]
        away = [prepare_model(*tables, pathologies, settings) for tables in seeds.values()]
        both = _has_both_kinds(home[0]) & _has_both_kinds(away[0])
        inside, outside = (_mean_over(scored_models, settings, both) for scored_models in (home, away))
        sides = (inside, outside, outside.minus(inside, independent=True))
        for metric in METRICS:
            for j, name in enumerate(pathologies):
                rows.append([model, name, metric, *chain(*(side.column(metric, j).interval for side in sides))])
            rows.append([model, MACRO, metric, *chain(*(side.overall(f"{metric}_macro").interval for side in sides))])
    return pd.DataFrame(rows, columns=EXTERNAL_COLUMNS)


def _has_both_kinds(scored: ScoredModel) -> np.ndarray:
    labels = scored.test.labels
    return (labels == 1).any(axis=0) & (labels == 0).any(axis=0)


def _mean_over(scored_models: Sequence[ScoredModel], settings: EvaluationSettings, labels: np.ndarray) -> Result:
    """The mean over seeds, its macro means over some labels (P,) where every seed defines the metric."""
    results = [analyse(scored.test, scored.decisions, settings) for scored in scored_models]
    chosen = {
        metric: labels & np.all([result.labels(metric) for result in results], axis=0) for metric in PER_PATHOLOGY
    }
    return mean_over_seeds([result.over(chosen) for result in results])
