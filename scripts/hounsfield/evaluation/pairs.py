"""Differences between models, on the same resamples of the same patients."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from hounsfield.evaluation.bootstrap import Bootstrap, difference
from hounsfield.evaluation.delong import delong_test
from hounsfield.evaluation.intervals import DEFINED_SHARE
from hounsfield.evaluation.runs import Run
from hounsfield.evaluation.weighted import RANKING_METRICS

PAIR_COLUMNS = [
    "model_a",
    "model_b",
    "pathology",
    "metric",
    "a",
    "b",
    "difference",
    "low",
    "high",
    "p",
    "p_holm",
    "p_delong",
    "p_delong_holm",
]
MACRO = "(macro)"


def pair_table(
    results: Mapping[str, Bootstrap], runs: Mapping[str, Sequence[Run]], pathologies: Sequence[str]
) -> pd.DataFrame:
    """A row a pair of models, ranking metric and pathology, and one of the macro mean.

    results: of each model, averaged over its seeds; runs: each model's seeds. p values are corrected over the
    pathologies of a pair and metric, and the macro rows' over the pairs.
    """
    rows = []
    for a, b in combinations(results, 2):
        gap = difference(results[a], results[b])
        for metric in RANKING_METRICS:
            for j, name in enumerate(pathologies):
                values = [results[model].column(metric, j)[0] for model in (a, b)]
                samples = gap.resamples.columns[metric][:, j]
                p_delong = _delong(runs[a], runs[b], j) if metric == "roc_auc" else np.nan
                rows.append([a, b, name, metric, *values, *gap.column(metric, j), p_value(samples), np.nan, p_delong])
            macro = f"{metric}_macro"
            values = [results[model].overall(macro)[0] for model in (a, b)]
            p = p_value(gap.resamples.overall[macro])
            rows.append([a, b, MACRO, metric, *values, *gap.overall(macro), p, np.nan, np.nan])
    table = pd.DataFrame([[*row, np.nan] for row in rows], columns=PAIR_COLUMNS)
    return _corrected(table)


def p_value(differences: np.ndarray) -> float:
    """Two-sided, from the share of resamples (R,) on either side of zero, each side at least one resample.

    It is nan where the interval is: if over a tenth of the resamples leave the difference undefined.
    """
    defined = differences[~np.isnan(differences)]
    if defined.size == 0 or defined.size < DEFINED_SHARE * differences.size:
        return float("nan")
    sides = [np.sum(defined <= 0) + 1, np.sum(defined >= 0) + 1]
    return float(min(1.0, 2 * min(sides) / (defined.size + 1)))


def holm(p_values: np.ndarray) -> np.ndarray:
    """Adjusted p values (Holm, 1979); nan ones stay nan and do not count."""
    result = np.full(len(p_values), np.nan)
    known = np.flatnonzero(~np.isnan(p_values))
    order = known[np.argsort(p_values[known])]
    factors = len(order) - np.arange(len(order))
    result[order] = np.maximum.accumulate(p_values[order] * factors).clip(max=1)
    return result


def _delong(a: Sequence[Run], b: Sequence[Run], j: int) -> float:
    scores = [np.stack([run.test.logits[:, j] for run in runs]) for runs in (a, b)]
    return delong_test(a[0].test.labels[:, j], *scores, a[0].test.patients).p


def _corrected(table: pd.DataFrame) -> pd.DataFrame:
    macro = table["pathology"] == MACRO
    families = [*table[~macro].groupby(["model_a", "model_b", "metric"]), *table[macro].groupby("metric")]
    for _, family in families:
        for column in ("p", "p_delong"):
            table.loc[family.index, f"{column}_holm"] = holm(family[column].to_numpy(np.float64))
    return table
