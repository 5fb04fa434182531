"""The model card: what a network is for, what it was made from, how good it is; only numbers that the run has."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from hounsfield.evaluation.exports import escape_markdown
from hounsfield.exports.facts import RunFacts
from hounsfield.exports.trained import Trained

SPLITS = ("train", "val", "test")
MISSING = "not recorded"


def render_card(trained: Trained, facts: RunFacts, agreement: pd.DataFrame) -> str:
    """The card in markdown; every value is escaped, and what the run does not tell is said to be missing."""
    engine = Environment(
        loader=PackageLoader("hounsfield.exports", "."),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=as_text,
    )
    engine.filters["rows"] = markdown_rows
    content = trained.content
    return engine.get_template("card.md").render(
        facts=facts,
        architecture=trained.architecture,
        formats=list(agreement["format"]),
        agreement=agreement.to_numpy().tolist(),
        parameters=sum(parameter.numel() for parameter in trained.model.parameters()),
        model=plain_rows(content["model"]),
        preprocessing=plain_rows(content["preprocessing"] | {"windows": content["windows"]}),
        calibrated=bool((trained.points["scale"] != 1).any() or (trained.points["offset"] != 0).any()),
        points=trained.points.rename_axis("pathology").reset_index().to_numpy().tolist(),
        validation=plain_rows({"epoch": content.get("epoch"), **content.get("metrics", {})}),
        epochs=None if facts.history is None else len(facts.history),
        continued_from=continued_from(facts.history),
        training=None if facts.training is None else plain_rows(facts.training),
        evaluation=None if facts.evaluation is None else plain_rows(facts.evaluation),
        counts=None if facts.dataset is None else count_rows(facts.dataset),
        labels=None if facts.dataset is None else label_rows(facts.dataset, trained.pathologies),
        overall=None if facts.overall is None else facts.overall.to_numpy().tolist(),
        scores=None if facts.per_pathology is None else score_rows(facts.per_pathology),
    )


def continued_from(history: pd.DataFrame | None) -> str | None:
    """The training that the history's went on from, if there is one."""
    if history is None or "continued_from" not in history or history.empty:
        return None
    return str(history["continued_from"].iloc[0])


def as_text(value: Any) -> str:
    """One cell: escaped for markdown, four digits of a number, a dash for what is undefined."""
    if isinstance(value, Markup):
        return str(value)
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "–"
    return escape_markdown(" ".join((f"{value:.4g}" if isinstance(value, float) else str(value)).split()))


def markdown_rows(rows: Sequence[Sequence[Any]]) -> Markup:
    """Rows of a markdown table, their cells as text."""
    return Markup("\n".join(f"| {' | '.join(map(as_text, row))} |" for row in rows))


def plain_rows(block: Mapping[str, Any], above: str = "") -> list[tuple[str, Any]]:
    """(key, value) of a block of settings, nested keys with a dot."""
    rows = []
    for key, value in block.items():
        rows += plain_rows(value, f"{above}{key}.") if isinstance(value, Mapping) else [(f"{above}{key}", value)]
    return rows


def count_rows(dataset: pd.DataFrame) -> list[list[Any]]:
    """split, patients, scans, volumes."""
    groups = [(split, dataset[dataset["split"] == split]) for split in SPLITS]
    return [[split, *(rows[name].nunique() for name in ("patient", "scan", "volume"))] for split, rows in groups]


def label_rows(dataset: pd.DataFrame, pathologies: Sequence[str]) -> list[list[Any]]:
    """pathology, then for each split the positives among the known labels, with their share."""
    return [[name, *(_positives(dataset, split, name) for split in SPLITS)] for name in pathologies]


def score_rows(table: pd.DataFrame) -> list[list[Any]]:
    """pathology, positives among the known, AUROC and average precision with intervals, sensitivity, specificity."""
    rows = []
    for row in table.to_dict("records"):
        metrics = [_interval(row, name) for name in ("roc_auc", "average_precision")]
        counts = f"{row['n_positive']} of {row['n']}"
        rows.append([row["pathology"], counts, *metrics, row["sensitivity"], row["specificity"]])
    return rows


def _positives(dataset: pd.DataFrame, split: str, name: str) -> str:
    if name not in dataset:
        return MISSING
    known = dataset.loc[dataset["split"] == split, name].dropna()
    share = f" ({100 * known.mean():.1f} %)" if len(known) else ""
    return f"{int(known.sum())} of {len(known)}{share}"


def _interval(row: Mapping[str, Any], name: str) -> str | None:
    value, low, high = (row[key] for key in (name, f"{name}_low", f"{name}_high"))
    if np.isnan(value):
        return None
    return f"{value:.3f}" if np.isnan([low, high]).any() else f"{value:.3f} ({low:.3f} to {high:.3f})"
