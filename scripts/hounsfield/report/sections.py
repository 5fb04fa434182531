"""The tables of each section of the page."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd

from hounsfield.report import baselines
from hounsfield.report.answers import VERDICTS, best_first, clear_winners, confusion
from hounsfield.report.results import MACRO, Results, scored
from hounsfield.report.tables import (
    Cell,
    Table,
    decimal,
    frame_table,
    heading,
    make_table,
    number,
    offered,
    p_value,
    words,
)

OVERALL = {
    "roc_auc_macro": "AUROC, macro",
    "roc_auc_micro": "AUROC, micro",
    "average_precision_macro": "Average precision, macro",
    "f1_macro": "F1, macro",
    "sensitivity_macro": "Sensitivity, macro",
    "specificity_macro": "Specificity, macro",
    "brier_macro": "Brier, macro",
}
DETAILED = {
    "roc_auc": "AUROC",
    "average_precision": "Average precision",
    "f1": "F1",
    "precision": "Precision",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "accuracy": "Accuracy",
    "brier": "Brier",
}
OWN_PLACE = (
    "models",
    "pairs",
    "seeds",
    "subgroups",
    "ensembles",
    "folds",
    "protocols",
    "calibration",
    "cost",
    "external",
    "chance",
)


def models_table(results: Results, confidence: float) -> Table:
    """The models side by side."""
    frame = results.comparison["models"]
    metrics = [metric for metric in OVERALL if metric in set(frame["metric"])]
    pairs = results.comparison["pairs"]
    winner = {metric: clear_winners(pairs, metric).get(MACRO) for metric in ("roc_auc", "average_precision")}
    rows = []
    for model in best_first(results):
        values = frame[frame["model"] == model].set_index("metric").to_dict("index")
        cells = [heading(model)]
        for metric in metrics:
            strong = winner.get(metric.removesuffix("_macro")) == model
            cells.append(_interval(values.get(metric, {}), "value", "low", "high", "no label is defined", strong))
        rows.append(cells)
    caption = f"Models on the test split, with {confidence:.0%} intervals"
    columns = ["Model", *(OVERALL[m] for m in metrics)]
    return make_table(caption, columns, rows, baselines.note(results), offered(frame, "models.tsv"))


def pairs_table(results: Results) -> Table | None:
    """Every pair of models: differences in AUROC."""
    frame = results.comparison["pairs"]
    if frame.empty:
        return None
    rows = []
    for row in frame[frame["metric"] == "roc_auc"].to_dict("records"):
        name = "all, macro" if row["pathology"] == MACRO else row["pathology"]
        beyond = row["beyond_chance"] == "yes"
        difference = _interval(row, "difference", "low", "high", _pair_reason(row), beyond)
        cells = [heading(name), words(row["model_a"]), words(row["model_b"]), number(row["a"]), number(row["b"])]
        rows.append([*cells, difference, *(p_value(row[column]) for column in ("p", "p_adjusted"))])
    columns = ["Pathology", "A", "B", "AUROC of A", "AUROC of B", "A minus B", "p", "p, adjusted"]
    return make_table(
        "Differences in AUROC, on the same patients",
        columns,
        rows,
        "Bold: beyond chance, with p adjusted over all comparisons of all pairs, those of average precision too. Half "
        "of the error belongs to the macro means, which the headline is about. Intervals are each by itself.",
        offered(frame, "pairs.tsv"),
    )


def seeds_table(results: Results) -> Table | None:
    """The spread over trainings; None for a single one."""
    frame = results.comparison.get("seeds")
    if frame is None or not results.several_seeds:
        return None
    table = frame[frame["metric"] == "roc_auc_macro"].pivot(index="model", columns="seed", values="value")
    rows = []
    for model, values in table.iterrows():
        each = [number(value) for value in values]
        rows.append([heading(model), number(values.mean()), number(values.std(), reason="one seed"), *each])
    columns = ["Model", "Mean", "Standard deviation", *(f"Seed {seed}" for seed in table.columns)]
    return make_table("Macro AUROC of each training", columns, rows, download=offered(frame, "seeds.tsv"))


def matrix_table(results: Results, metric: str) -> Table:
    """Pathologies by models: one metric, tinted by its value; bold where a model is clearly the best."""
    winners = clear_winners(results.comparison["pairs"], metric)
    tables = {model: table.set_index("pathology").to_dict("index") for model, table in results.first.items()}
    rows = []
    for name in results.pathologies:
        cells = [heading(name)]
        for model, table in tables.items():
            row = table[name]
            tint = None if pd.isna(row[metric]) else float(np.clip(2 * row[metric] - 1, 0, 1))
            strong = winners.get(name) == model
            cells.append(_interval(row, metric, f"{metric}_low", f"{metric}_high", reason(row), strong, tint))
        rows.append(cells)
    note = "Bold: better than every other model beyond chance, all comparisons counted."
    return make_table(f"{DETAILED[metric]} by pathology and model", ["Pathology", *tables], rows, note)


def pathology_tables(results: Results) -> dict[str, Table]:
    """Every model's scores by pathology, first seed."""
    tables = {}
    for model, frame in results.first.items():
        rows = []
        for row in frame.to_dict("records"):
            counts = [number(row[column], 0) for column in ("n_positive", "n_negative")]
            scores = [_interval(row, name, f"{name}_low", f"{name}_high", reason(row, name)) for name in DETAILED]
            prevalence = number(row["prevalence"], reason="no known label")
            rows.append([heading(row["pathology"]), *counts, prevalence, *scores, number(row["threshold"])])
        columns = ["Pathology", "Positive", "Negative", "Prevalence", *DETAILED.values(), "Threshold"]
        seed = next(iter(results.per_pathology[model]))
        download = offered(frame, f"{model}-seed{seed}-per_pathology.tsv")
        tables[model] = make_table(f"{model}, seed {seed}", columns, rows, download=download)
    return tables


def confusion_table(results: Results, pathology: str, level: str) -> Table:
    """Counts at the threshold of each model."""
    rows = []
    for model, (labels, probabilities) in scored(results, pathology, level).items():
        threshold = threshold_of(results, model, pathology)
        counts = confusion(labels, probabilities, threshold)
        rows.append([heading(model), number(threshold), *(number(counts[name], 0) for name in VERDICTS.values())])
    columns = ["Model", "Threshold", *(name.capitalize() for name in VERDICTS.values())]
    return make_table("Counts at the threshold", columns, rows)


def threshold_of(results: Results, model: str, pathology: str) -> float:
    """The threshold that was chosen on validation, first seed."""
    table = results.first[model]
    return float(table.loc[table["pathology"] == pathology, "threshold"].iloc[0])


def cohort_table(results: Results) -> Table:
    """Labels of each split, with the prevalence among the known ones."""
    frame = results.summary
    splits = frame["split"].drop_duplicates().tolist()
    rows = []
    for label, table in frame.groupby("label", sort=False):
        counts = table.set_index("split").to_dict("index")
        cells = [heading(label)]
        for split in splits:
            row = counts.get(split, {})
            share = row.get("prevalence")
            known = "no known label" if share is None or pd.isna(share) else f"{decimal(100 * share, 1)} %"
            cells.append(replace(number(row.get("n_positive"), 0), interval=known))
            cells += [number(row.get(column), 0) for column in ("n_negative", "n_unknown")]
        rows.append(cells)
    kinds = ("positive", "negative", "unknown")
    columns = ["Label", *(f"{split.capitalize()}, {kind}" for split in splits for kind in kinds)]
    note = "Scans; below the positives, their share of the scans whose label is known."
    return make_table("Labels by split", columns, rows, note, offered(frame, "summary.tsv"))


def exclusion_tables(results: Results, most: int) -> list[Table]:
    """Why volumes were left out, and which; none if none was."""
    frame = results.excluded
    if frame.empty:
        return []
    reasons = Counter(frame["reason"])
    rows = []
    for name, count in reasons.most_common():
        example = frame[frame["reason"] == name].iloc[0]
        rows.append(
            [heading(spoken_reason(name)), number(count, 0), words(f"{example['volume']}: {example['detail']}")]
        )
    counts = make_table("Reasons for leaving volumes out", ["Reason", "Volumes", "For example"], rows)
    listed = frame[:most]
    cells = (
        [heading(row["volume"]), words(spoken_reason(row["reason"])), words(row["detail"])]
        for row in listed.to_dict("records")
    )
    note = f"The first {most} of {len(frame)}; cohort/excluded.tsv names all." if len(frame) > most else ""
    columns = ["Volume", "Reason", "Detail"]
    return [counts, make_table("Volumes left out", columns, cells, note, offered(frame, "excluded.tsv"))]


def spoken_reason(name: str) -> str:
    """A reason's code in words."""
    return name.replace("_", " ")


def other_tables(results: Results, most: int) -> list[Table]:
    """Whatever else the comparison holds, as it is."""
    return [
        frame_table(name.replace("_", " ").capitalize(), frame, offered(frame, f"{name}.tsv"), most)
        for name, frame in results.comparison.items()
        if name not in OWN_PLACE and len(frame)
    ]


def reason(row: dict, metric: str = "") -> str:
    """Why a score of a pathology is undefined."""
    for column, text in (("n", "no known label"), ("n_positive", "no positives"), ("n_negative", "no negatives")):
        if row[column] == 0:
            return text
    return "none called positive" if metric == "precision" else "undefined"


def _pair_reason(row: dict) -> str:
    return "undefined for one of them" if pd.isna(row["a"]) or pd.isna(row["b"]) else "undefined"


def _interval(
    row: dict, value: str, low: str, high: str, why: str, strong: bool = False, heat: float | None = None
) -> Cell:
    return number(row.get(value), 3, row.get(low), row.get(high), why, strong=strong, heat=heat)
