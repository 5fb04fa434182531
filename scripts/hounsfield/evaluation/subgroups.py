"""Scores by sex, age, scanner, kernel and whatever else the metadata tells."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from hounsfield.evaluation.analysis import analyse, mean_over_seeds
from hounsfield.evaluation.pairs import MACRO
from hounsfield.evaluation.score import count_labels
from hounsfield.evaluation.scored_model import ScoredModel
from hounsfield.evaluation.settings import EvaluationSettings
from hounsfield.metadata import to_numbers

SUBGROUP_COLUMNS = ["model", "column", "group", "pathology", "patients", "n", "n_positive", "n_negative"]
SUBGROUP_COLUMNS += ["roc_auc", "low", "high", "suppressed"]
UNKNOWN, MIXED = "(unknown)", "(mixed)"
# A number of so few values is a code, such as a scanner's number.
FEW_VALUES = 8


def subgroup_table(
    scored_models: Mapping[str, Sequence[ScoredModel]],
    groups: Mapping[str, np.ndarray],
    pathologies: Sequence[str],
    settings: EvaluationSettings,
) -> pd.DataFrame:
    """AUROC of each model (mean over its seeds), group and pathology, with its interval; small groups without.

    groups: column -> the group's name of each scored scan (N,).
    """
    rows = []
    for model, seeds in scored_models.items():
        for column, names in groups.items():
            for name in sorted(set(names), key=_place):
                found = _group_rows(seeds, np.flatnonzero(names == name), pathologies, settings)
                rows += [[model, column, name, *row] for row in found]
    # Whole numbers stay whole beside empty cells.
    counts = dict.fromkeys(("n", "n_positive", "n_negative"), "Int64")
    return pd.DataFrame(rows, columns=SUBGROUP_COLUMNS).astype(counts)


def _group_rows(
    seeds: Sequence[ScoredModel], rows: np.ndarray, pathologies: Sequence[str], settings: EvaluationSettings
) -> Iterator[list]:
    scores = seeds[0].test.take(rows)
    patients = len(np.unique(scores.patients))
    if patients < settings.min_group:
        empty = [np.nan] * 6
        yield from ([name, patients, *empty, "yes"] for name in (*pathologies, MACRO))
        return
    result = mean_over_seeds([analyse(scored.test.take(rows), scored.decisions[rows], settings) for scored in seeds])
    for j, name in enumerate(pathologies):
        counts = list(count_labels(scores.labels[:, j]).values())[:3]
        yield [name, patients, *counts, *result.column("roc_auc", j).interval, "no"]
    yield [MACRO, patients, len(rows), np.nan, np.nan, *result.overall("roc_auc_macro").interval, "no"]


def groups_of(
    metadata: pd.DataFrame, predictions: pd.DataFrame, level: str, bands: Mapping[str, Sequence[float]]
) -> dict[str, np.ndarray]:
    """Column -> the group of each scored unit (N,), sorted by unit; metadata: volume and a column a property.

    A scan whose reconstructions differ is "(mixed)", one that the metadata does not tell of "(unknown)".
    """
    table = predictions[["volume", level]].astype(str)
    volumes = metadata.assign(volume=metadata["volume"].astype(str)).drop_duplicates("volume").set_index("volume")
    columns = [column for column in volumes if column not in ("scan", "patient")]
    result = {}
    for column in columns:
        named = name_groups(volumes[column], bands.get(column))
        values = named.reindex(table["volume"]).fillna(UNKNOWN).to_numpy()
        by_unit = pd.Series(values).groupby(table[level].to_numpy(), sort=True)
        result[column] = by_unit.agg(lambda each: each.iloc[0] if each.nunique() == 1 else MIXED).to_numpy()
    return result


def name_groups(values: pd.Series, edges: Sequence[float] | None) -> pd.Series:
    """Group names: numbers cut at `edges`, or at their terciles if they take many values; texts as they are."""
    numbers = to_numbers(values)
    if edges is None and numbers.nunique() > FEW_VALUES and numbers.notna().sum() == values.notna().sum():
        edges = [float(f"{edge:.3g}") for edge in np.quantile(numbers.dropna(), [1 / 3, 2 / 3])]
    if edges is None:
        return values.map(_plain, na_action="ignore").astype(object)
    edges = sorted(set(edges))
    between = [f"{low:g} to {high:g}" for low, high in pairwise(edges)]
    names = [f"under {edges[0]:g}", *between, f"{edges[-1]:g} and over"]
    cut = np.searchsorted(edges, numbers.fillna(0), side="right")
    return pd.Series(np.array(names, dtype=object)[cut], values.index).where(numbers.notna(), None)


def _place(name: str) -> tuple[float, str]:
    """Bands and numbers by their size, then texts by name."""
    first = name.split()[0] if name.split() else ""
    try:
        return (float("-inf"), name) if name.startswith("under ") else (float(first), name)
    except ValueError:
        return float("inf"), name


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
