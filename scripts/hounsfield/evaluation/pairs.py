"""Differences between models, on the same patients, under one rule for all that is said of them.

The family is every row of the table, at 1 - confidence together. Half of that belongs to the macro AUROC of all pairs,
which the headline is about, the other half to all other rows.
"""

import logging
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from hounsfield.evaluation.analysis import Result
from hounsfield.evaluation.metrics import RANKING_METRICS
from hounsfield.evaluation.multiplicity import adjusted
from hounsfield.evaluation.settings import EvaluationSettings

log = logging.getLogger(__name__)

PAIR_COLUMNS = ["model_a", "model_b", "pathology", "metric", "a", "b", "difference", "low", "high", "p", "p_adjusted"]
# Whether A is no worse than B by the margin, B no worse than A, and neither better than the other by it; all adjusted.
MARGIN_COLUMNS = ["p_a_noninferior", "p_b_noninferior", "p_equivalent"]
MACRO = "(macro)"


def pair_table(
    results: Mapping[str, Result],
    pathologies: Sequence[str],
    settings: EvaluationSettings,
    pairs: Sequence[tuple[str, str]] | None = None,
) -> pd.DataFrame:
    """A row a pair of models, ranking metric and pathology, and one of the macro mean.

    results: of each model, over its trainings. pairs: all, unless told. p values are two-sided; those of the margin
    one-sided. reason: why there is no interval. beyond_chance: whether p_adjusted leaves no doubt.
    """
    pairs = list(combinations(results, 2) if pairs is None else pairs)
    places = [*enumerate(pathologies), (None, MACRO)]
    rows, deviations = [], []
    for a, b in pairs:
        gap = results[a].minus(results[b])
        for metric in RANKING_METRICS:
            for j, name in places:
                values = [_at(results[model], metric, j).value for model in (a, b)]
                rows.append([a, b, name, metric, *values, *_cells(_at(gap, metric, j), settings.margin)])
                deviations.append(_deviations(results, a, b, metric, j))
    table = pd.DataFrame(rows, columns=[*PAIR_COLUMNS, *MARGIN_COLUMNS, "reason"])
    if rows:
        _adjust(table, np.stack(deviations, axis=1))
    # What is bold on the page, and what its headline says.
    table["beyond_chance"] = np.where(table["p_adjusted"] < 1 - settings.confidence, "yes", "no")
    if settings.interval != "analytic":
        _check_resolution(len(table), settings)
    return table


def _at(result: Result, metric: str, j: int | None) -> Any:
    """A metric of pathology number j, or its macro mean."""
    return result.overall(f"{metric}_macro") if j is None else result.column(metric, j)


def _deviations(results: Mapping[str, Result], a: str, b: str, metric: str, j: int | None) -> np.ndarray:
    """What each patient and each training of each model adds to the difference of two of them."""
    of_patients, of_trainings = 0.0, []
    for model, result in results.items():
        patients, trainings = result.deviations(f"{metric}_macro" if j is None else metric, j)
        sign = (model == a) - (model == b)
        of_patients = of_patients + sign * patients
        of_trainings.append(sign * trainings)
    return np.concatenate([of_patients, *of_trainings])


def _cells(found: Any, margin: float | None) -> list:
    """Difference, limits, p, its place for the adjusted one, the margin's p values, reason."""
    tests = [np.nan] * 3
    if margin is not None:
        a, b = found.p_above(-margin), found.p_below(margin)
        tests = [a, b, max(a, b)]
    return [*found.interval, found.p, np.nan, *tests, found.reason]


def _adjust(table: pd.DataFrame, deviations: np.ndarray) -> None:
    """Fill in p_adjusted and adjust the margin's p values; if half of the family is empty, the other has all of it."""
    headline = ((table["pathology"] == MACRO) & (table["metric"] == "roc_auc")).to_numpy()
    for column, target in (("p", "p_adjusted"), *((name, name) for name in MARGIN_COLUMNS)):
        p = table[column].to_numpy(np.float64).copy()
        halves = [half for half in (headline, ~headline) if not np.isnan(p[half]).all()]
        for half in halves:
            shares = np.minimum(adjusted(p[half], deviations[:, half]) * len(halves), 1)
            table.loc[half, target] = shares


def _check_resolution(rows: int, settings: EvaluationSettings) -> None:
    needed = int(np.ceil(4 * rows / (1 - settings.confidence)))
    if 0 < settings.replicates < needed:
        log.warning(
            "evaluation.replicates: %d resamples cannot tell a difference among %d comparisons; set at least %d, or "
            "evaluation.interval: analytic",
            settings.replicates,
            rows,
            needed,
        )
