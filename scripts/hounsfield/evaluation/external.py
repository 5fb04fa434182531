"""The same networks on the test split they were made for, and on another cohort."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain

import numpy as np
import pandas as pd

from hounsfield.evaluation.bootstrap import Bootstrap, Metrics, bootstrap, difference, mean_over_seeds
from hounsfield.evaluation.metrics import nanmean
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
    less internal, its interval from independent resamples of either side's patients, always their percentiles.
    Raises TableError if predictions lack a column or a logit.
    """
    rows = []
    for model, seeds in predictions.items():
        home = [prepare_model(val, internal[model][seed], pathologies, settings) for seed, (val, _) in seeds.items()]
        away = [prepare_model(*tables, pathologies, settings) for tables in seeds.values()]
        both = np.flatnonzero(_has_both_kinds(home[0]) & _has_both_kinds(away[0]))
        inside, outside = (_with_macro(_mean_over(scored_models, settings), both) for scored_models in (home, away))
        gap = _gap(outside, inside)
        sides = (inside, outside, gap)
        for metric in METRICS:
            for j, name in enumerate(pathologies):
                rows.append([model, name, metric, *chain(*(side.column(metric, j) for side in sides))])
            rows.append([model, MACRO, metric, *chain(*(side.overall(metric) for side in sides))])
    return pd.DataFrame(rows, columns=EXTERNAL_COLUMNS)


def _has_both_kinds(scored: ScoredModel) -> np.ndarray:
    labels = scored.test.labels
    return (labels == 1).any(axis=0) & (labels == 0).any(axis=0)


def _mean_over(scored_models: Sequence[ScoredModel], settings: EvaluationSettings) -> Bootstrap:
    return mean_over_seeds([bootstrap(scored.test, scored.decisions, settings) for scored in scored_models])


def _with_macro(result: Bootstrap, labels: np.ndarray) -> Bootstrap:
    """`result` whose overall metrics are the means over some labels (their numbers)."""

    def narrowed(metrics: Metrics) -> Metrics:
        return Metrics(metrics.columns, {name: nanmean(metrics.columns[name][:, labels]) for name in METRICS})

    jackknife = narrowed(result.jackknife) if result.jackknife is not None else None
    return replace(result, value=narrowed(result.value), resamples=narrowed(result.resamples), jackknife=jackknife)


def _gap(outside: Bootstrap, inside: Bootstrap) -> Bootstrap:
    """The difference of two cohorts: resamples pair at random, and no group of patients is in both jackknives.

    Both sides drew from one seed, so one of them is taken in reverse.
    """
    turned = (
        {name: values[::-1] for name, values in kind.items()}
        for kind in (inside.resamples.columns, inside.resamples.overall)
    )
    return difference(replace(outside, jackknife=None), replace(inside, resamples=Metrics(*turned), jackknife=None))
