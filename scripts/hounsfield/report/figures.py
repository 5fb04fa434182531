"""Figures of whole runs: scores with intervals, differences, and how training went."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from hounsfield.report.svg import COLOURS, LINE, drawing, line_look, look, to_svg

# Inches; a phone shrinks it to two thirds, which can still be read.
WIDE = 5.6
METRIC_NAMES = {"roc_auc": "AUROC", "average_precision": "average precision"}
HISTORY = {
    "loss": "Loss (faint: training split)",
    "val_roc_auc_macro": "Macro AUROC on validation",
    "val_average_precision_macro": "Macro AP on validation",
    "learning_rate": "Learning rate",
}


def forest_plot(tables: Mapping[str, pd.DataFrame], metric: str, key: str) -> str:
    """`metric` of each pathology with its interval: a row a pathology, a mark a model (tables of per_pathology)."""
    names = next(iter(tables.values()))["pathology"].tolist()
    step = 0.8 / max(1, len(tables))
    with drawing(WIDE, 0.9 + len(names) * max(0.3, 0.13 * len(tables) + 0.1)) as (figure, axes):
        for rank, (model, table) in enumerate(tables.items()):
            place = np.arange(len(names)) + (rank - (len(tables) - 1) / 2) * step
            value, low, high = (table[f"{metric}{end}"].to_numpy(float) for end in ("", "_low", "_high"))
            _with_interval(axes, value, low, high, place, rank, model)
            if metric == "average_precision":
                axes.plot(table["prevalence"], place, linestyle="", marker="|", color=COLOURS[6], markersize=7)
        if metric == "roc_auc":
            axes.axvline(0.5, color=COLOURS[6], linewidth=1, linestyle="--")
        _named_rows(axes, names)
        axes.set_xlim(right=1.02)
        guide = "dashed: chance" if metric == "roc_auc" else "tick: prevalence"
        axes.set_xlabel(f"{METRIC_NAMES[metric]} on the test split ({guide})")
        return to_svg(figure, key, f"{METRIC_NAMES[metric]} of each pathology and model, with intervals")


def difference_plot(pairs: pd.DataFrame, key: str) -> str:
    """Paired differences of one metric, a row a pathology and a mark a pair of models, with intervals."""
    names = pairs["pathology"].drop_duplicates().tolist()
    groups = list(pairs.groupby(["model_a", "model_b"], sort=False))
    step = 0.8 / max(1, len(groups))
    with drawing(WIDE, 0.9 + len(names) * max(0.3, 0.13 * len(groups) + 0.1)) as (figure, axes):
        for rank, ((model_a, model_b), table) in enumerate(groups):
            rows = table.set_index("pathology").reindex(names)
            place = np.arange(len(names)) + (rank - (len(groups) - 1) / 2) * step
            value, low, high = (rows[column].to_numpy(float) for column in ("difference", "low", "high"))
            _with_interval(axes, value, low, high, place, rank, f"{model_a} minus {model_b}")
        axes.axvline(0, color=COLOURS[6], linewidth=1, linestyle="--")
        _named_rows(axes, ["all, macro" if name == "(macro)" else name for name in names])
        axes.set_xlabel("difference in AUROC on the same resamples (dashed: none)")
        figure.legend(loc="outside upper left", ncols=2)
        return to_svg(figure, key, "Differences between models with intervals")


def overview_plot(models: pd.DataFrame, ranks: Sequence[str], key: str) -> str:
    """Macro AUROC with its interval of models and ensembles (name, value, low, high); a model keeps its rank's mark."""
    with drawing(WIDE, 0.9 + 0.36 * len(models)) as (figure, axes):
        for place, row in enumerate(models.to_dict("records")):
            known = row["name"] in ranks
            rank = ranks.index(row["name"]) if known else len(COLOURS) - 1
            values = (np.array([row[column]], float) for column in ("value", "low", "high"))
            _with_interval(axes, *values, np.array([place]), rank, row["name"])
        axes.axvline(0.5, color=COLOURS[6], linewidth=1, linestyle="--")
        _named_rows(axes, models["name"].tolist())
        axes.set_xlim(right=1.02)
        axes.set_xlabel("macro AUROC on the test split (dashed: chance)")
        return to_svg(figure, key, "Macro AUROC of models and ensembles, with intervals")


@dataclass(frozen=True)
class SubgroupRow:
    """A group's name, and its scores: columns roc_auc, low, high by model."""

    name: str
    scores: pd.DataFrame


def subgroup_plot(rows: Sequence[SubgroupRow], models: Sequence[str], key: str) -> str:
    """Macro AUROC with its interval, a row a group and a mark a model."""
    step = 0.8 / max(1, len(models))
    with drawing(WIDE, 0.9 + len(rows) * max(0.3, 0.13 * len(models) + 0.1)) as (figure, axes):
        for rank, model in enumerate(models):
            place = np.arange(len(rows)) + (rank - (len(models) - 1) / 2) * step
            table = pd.concat([row.scores.reindex([model]) for row in rows])
            value, low, high = (table[column].to_numpy(float) for column in ("roc_auc", "low", "high"))
            _with_interval(axes, value, low, high, place, rank, model)
        axes.axvline(0.5, color=COLOURS[6], linewidth=1, linestyle="--")
        _named_rows(axes, [row.name for row in rows])
        axes.set_xlim(right=1.02)
        axes.set_xlabel("macro AUROC on the test split (dashed: chance)")
        figure.legend(loc="outside upper left", ncols=3)
        return to_svg(figure, key, "Macro AUROC by subgroup and model, with intervals")


def training_panels(histories: Mapping[str, Mapping[int, pd.DataFrame]]) -> dict[str, str]:
    """A figure a quantity of HISTORY, over epochs, of every model and seed, as logged; quantities not logged lack."""
    figures = {}
    for number, (column, title) in enumerate(HISTORY.items()):
        with drawing(2.95, 2.6) as (figure, axes):
            drawn = False
            for rank, seeds in enumerate(histories.values()):
                for table in seeds.values():
                    drawn |= _plot_history(axes, table, column, rank)
            axes.set_xlabel("epoch")
            axes.set_title(title, loc="left")
            axes.xaxis.get_major_locator().set_params(integer=True)
            if column == "loss" and _spans_decades(axes):
                axes.set_yscale("log")
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            if drawn:
                figures[column] = to_svg(figure, f"training{number}", title)
    return figures


def _plot_history(axes: Axes, table: pd.DataFrame, column: str, rank: int) -> bool:
    style = line_look(rank) | {"marker": look(rank)["marker"] if len(table) == 1 else ""}
    lines = {"val_loss": 1.0, "train_loss": 0.4} if column == "loss" else {column: 1.0}
    drawn = False
    for name, alpha in lines.items():
        if name in table and table[name].notna().any():
            axes.plot(table["epoch"] + 1, table[name], alpha=alpha, **style)
            drawn = True
    return drawn


def _spans_decades(axes: Axes) -> bool:
    """Whether the lines hold only positive values, the largest ten times the smallest: too much for even steps."""
    values = np.concatenate([line.get_ydata() for line in axes.lines] or [np.zeros(1)])
    values = values[np.isfinite(values)]
    return bool(values.size and values.min() > 0 and values.max() > 10 * values.min())


def _with_interval(
    axes: Axes, value: np.ndarray, low: np.ndarray, high: np.ndarray, place: np.ndarray, rank: int, label: str
) -> None:
    style = look(rank)
    axes.hlines(place, low, high, color=style["color"], linewidth=1.4)
    axes.plot(value, place, linestyle="", marker=style["marker"], color=style["color"], markersize=5, label=label)


def _named_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), [shortened(name) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")
    for row in range(1, len(names)):
        axes.axhline(row - 0.5, color=LINE, linewidth=0.5)


def shortened(name: str, width: int = 30) -> str:
    """A name on two lines at most."""
    return "\n".join(textwrap.wrap(name, width, max_lines=2, placeholder=" …", break_on_hyphens=False)) or name
