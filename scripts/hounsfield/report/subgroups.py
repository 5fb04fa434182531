"""Scores by subgroup: one number a model and group, and the pathologies behind it."""

import pandas as pd
from markupsafe import Markup

from hounsfield.report.figures import SubgroupRow, subgroup_plot
from hounsfield.report.results import MACRO, Results
from hounsfield.report.tables import Table, heading, make_table, number, offered, spoken, words


def macro_table(results: Results) -> Table | None:
    """Macro AUROC of each model in each group, the small ones only named; None if the comparison has no subgroups."""
    frame = _frame(results)
    if frame is None:
        return None
    frame = frame[frame["pathology"] == MACRO]
    models = frame["model"].drop_duplicates().tolist()
    rows, small = [], []
    for (column, group), table in frame.groupby(["column", "group"], sort=False):
        name, patients = f"{spoken(column).capitalize()}: {group}", table["patients"].iloc[0]
        if (table["suppressed"] == "yes").all():
            small.append(f"{name} ({patients:g})")
            continue
        by_model = table.set_index("model").to_dict("index")
        counts = [number(patients, 0), number(table["n"].iloc[0], 0)]
        rows.append([heading(name), *counts, *(_score(by_model[model]) for model in models)])
    note = "Macro AUROC over the labels that are defined in the group. Groups differ in their mix of findings too."
    if small:
        note += f" Too few patients to be scored: {', '.join(small)}."
    return make_table("Subgroups", ["Group", "Patients", "Scans", *models], rows, note, _download(results))


def pathology_table(results: Results, most: int) -> Table | None:
    """AUROC of each model, group and pathology, of the groups that are large enough; None if there are none."""
    frame = _frame(results)
    if frame is None:
        return None
    frame = frame[(frame["pathology"] != MACRO) & (frame["suppressed"] == "no")]
    if frame.empty:
        return None
    models = frame["model"].drop_duplicates().tolist()
    rows = []
    for (column, group, pathology), table in frame.groupby(["column", "group", "pathology"], sort=False):
        by_model = table.set_index("model").to_dict("index")
        counts = [number(table[name].iloc[0], 0) for name in ("n_positive", "n_negative")]
        place = [heading(f"{spoken(column).capitalize()}: {group}"), words(pathology)]
        rows.append([*place, *counts, *(_score(by_model[model]) for model in models)])
    note = f"The first {most} of {len(rows)} rows; the TSV has all." if len(rows) > most else ""
    columns = ["Group", "Pathology", "Positive", "Negative", *models]
    return make_table("AUROC by subgroup and pathology", columns, rows[:most], note)


def figure(results: Results) -> str | None:
    """The macro AUROC of the groups that are large enough, with intervals; None if there are none."""
    frame = _frame(results)
    if frame is None:
        return None
    frame = frame[(frame["pathology"] == MACRO) & frame["roc_auc"].notna()]
    if frame.empty:
        return None
    rows = [
        SubgroupRow(f"{spoken(column)}: {group}", table.set_index("model")[["roc_auc", "low", "high"]])
        for (column, group), table in frame.groupby(["column", "group"], sort=False)
    ]
    return subgroup_plot(rows, list(results.first), "subgroups")


def _frame(results: Results) -> pd.DataFrame | None:
    frame = results.comparison.get("subgroups")
    return None if frame is None or frame.empty else frame


def _download(results: Results) -> Markup:
    return offered(results.comparison["subgroups"], "subgroups.tsv")


def _score(row: dict) -> Markup | str:
    return number(row["roc_auc"], 3, row["low"], row["high"], _why(row))


def _why(row: dict) -> str:
    return "no positives" if row["n_positive"] == 0 else "no negatives" if row["n_negative"] == 0 else "undefined"
