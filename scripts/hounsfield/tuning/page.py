"""One self-contained page of a model's search: what was found, how it came about, and what to make of it."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup
from optuna.trial import FrozenTrial

from hounsfield.files import atomic_write
from hounsfield.report.rendering import render
from hounsfield.report.svg import legend
from hounsfield.report.tables import Table, download_of, duration, heading, make_table, number, offered, words
from hounsfield.tables import write_table
from hounsfield.tuning import figures
from hounsfield.tuning.outcome import best_block, best_trial, finished_trials, trials_table
from hounsfield.tuning.search import Search
from hounsfield.tuning.space import Choices, Range
from hounsfield.tuning.study import BASELINE, state_of

METRICS = {"roc_auc_macro": "macro AUROC", "average_precision_macro": "macro average precision", "loss": "loss"}
MOST_ROWS = 500


def write_outcome(search: Search, name: str, model: str, out_trials: Path, out_best: Path, out_page: Path) -> None:
    """Write the table of the trials, the best block and the page. Raises TrainingError if every trial failed.

    name, model: of the run and of the model, as in the configuration.
    """
    trials = finished_trials(search)
    best = best_trial(search, trials)
    table, block = trials_table(search, trials), best_block(search, model, best, len(trials))
    content = {
        "name": name,
        "model": model,
        "block": block,
        "block_download": download_of(block, f"{model}-best.yaml", "application/yaml"),
        "trials": _shown(table),
        **_answer(search, trials, best),
        **_figures(search, trials),
    }
    write_table(table, out_trials)
    for path, text in ((out_best, block), (out_page, render(content, "tuning.html", "hounsfield.tuning"))):
        with atomic_write(path) as partial:
            partial.write_text(text, encoding="utf-8")


def _answer(search: Search, trials: Sequence[FrozenTrial], best: FrozenTrial) -> dict[str, Any]:
    baseline = trials[BASELINE].value
    gain = None if baseline is None else abs(best.value - baseline)
    return {
        "best": best,
        "gain": gain if best.number != BASELINE else None,
        "metric": METRICS[search.settings.metric],
        "lower_is_better": search.settings.lower_is_better,
        "counts": Counter(map(state_of, trials)),
        "rungs": search.rungs,
        "reduction": search.settings.reduction,
        "parameters": _parameters(search, best),
    }


def _parameters(search: Search, best: FrozenTrial) -> Table:
    found = figures.values_of(search.space, best.params)
    rows = []
    for name, parameter in search.space.items():
        value = str(found[name]) if name in found else "as it is"
        rows.append([heading(name), words(_spoken(parameter)), words(value)])
    return make_table("What was searched", ["parameter", "values", "best trial"], rows)


def _spoken(parameter: Range | Choices) -> str:
    if isinstance(parameter, Choices):
        return ", ".join(name.strip('"') for name in parameter.names)
    how = ", by its logarithm" if parameter.log else f", in steps of {parameter.step:g}" if parameter.step else ""
    return f"{parameter.low:g} to {parameter.high:g}{how}"


def _figures(search: Search, trials: Sequence[FrozenTrial]) -> dict[str, Any]:
    metric, lower = METRICS[search.settings.metric], search.settings.lower_is_better
    points = figures.points_of(trials, search.space, search.rungs)
    slices = [
        figures.slice_plot(points, name, parameter, metric, f"slice{place}")
        for place, (name, parameter) in enumerate(search.space.items())
    ]
    importances = figures.importances_of(trials, search.rungs[0], lower)
    return {
        "legend": Markup(legend([f"until epoch {rung}" for rung in search.rungs], "rungs")),
        "history": Markup(figures.history_plot(points, lower, metric, "history")),
        "slices": [Markup(each) for each in slices],
        "importance": Markup(figures.importance_plot(importances, "importance")) if importances else None,
    }


def _shown(table: pd.DataFrame) -> Table:
    rows = []
    for row in table[:MOST_ROWS].to_dict("records"):
        cells = [heading(row["number"]), words(row["state"]), number(row["epochs"], 0), number(row["value"], 4)]
        for name in list(table)[4:-2]:
            value = row[name]
            cells.append(words(f"{value:.3g}" if isinstance(value, float) and not pd.isna(value) else value))
        rows.append([*cells, duration(row["seconds"]), words(row["message"])])
    note = f"The first {MOST_ROWS} of {len(table)} trials." if len(table) > MOST_ROWS else ""
    columns = [name.removeprefix("training.") for name in table]
    return make_table("Every trial", columns, rows, note, offered(table, "trials.tsv"))
