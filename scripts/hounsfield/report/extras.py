"""Tables beside the main scores: ensembles, pooled folds, published protocols, calibration, where the heat is."""

from dataclasses import replace

import pandas as pd

from hounsfield.explain.pointing import REACH_MM
from hounsfield.report.results import MACRO, Results
from hounsfield.report.tables import Download, Table, frame_table, heading, make_table, number, offered, words

ALL = "All of them"
PROTOCOLS = {"validation": "honest: threshold from validation", "ct-clip": "CT-CLIP: threshold from the test labels"}


def overall_rows(
    frame: pd.DataFrame, name: str, metrics: dict[str, str], caption: str, note: str, download: Download | None
) -> Table:
    """A row for each value of the column `name`, a column for each metric, with intervals."""
    shown = [metric for metric in metrics if metric in set(frame["metric"])]
    rows = []
    for label, table in frame.groupby(name, sort=False):
        values = table.set_index("metric").to_dict("index")
        found = [values.get(metric, {}) for metric in shown]
        cells = (number(each.get("value"), 3, each.get("low"), each.get("high"), "undefined") for each in found)
        rows.append([heading(label), *cells])
    columns = [name.capitalize(), *(metrics[metric] for metric in shown)]
    return make_table(caption, columns, rows, note, download)


def overview(results: Results) -> pd.DataFrame:
    """Macro AUROC of the models, the best first, then of the ensembles: name, value, low, high."""
    models = results.comparison["models"].rename(columns={"model": "name"})
    parts = [models.sort_values("value", ascending=False, kind="stable")]
    if "ensembles" in results.comparison:
        ensembles = results.comparison["ensembles"]
        parts.append(ensembles.assign(name="ensemble: " + ensembles["ensemble"].astype(str)))
    table = pd.concat([part[part["metric"] == "roc_auc_macro"] for part in parts], ignore_index=True)
    return table[["name", "value", "low", "high"]]


def external_tables(results: Results, metrics: dict[str, str]) -> list[Table]:
    """The internal test split beside the external one: the macro means, then every pathology; none for a usual run."""
    frame = results.comparison.get("external")
    if frame is None:
        return []
    macro = frame["pathology"] == MACRO
    note = (
        "The networks, their calibration and their thresholds are those of the internal run, unchanged. Macro means "
        "are over the labels that both cohorts can score. Average precision and F1 also change with the prevalence."
    )
    summary = _side_by_side(frame[macro], metrics, "Internal and external test split, macro means", note)
    every = _side_by_side(frame[~macro], metrics, "Internal and external test split, by pathology", "")
    return [replace(summary, download=offered(frame, "external.tsv")), every]


def _side_by_side(frame: pd.DataFrame, metrics: dict[str, str], caption: str, note: str) -> Table:
    rows = []
    for row in frame.to_dict("records"):
        name = "all, macro" if row["pathology"] == MACRO else row["pathology"]
        sides = [
            number(row[side], 3, row[low], row[high], "undefined")
            for side, low, high in (
                ("internal", "internal_low", "internal_high"),
                ("external", "external_low", "external_high"),
                ("difference", "low", "high"),
            )
        ]
        rows.append([heading(name), words(row["model"]), words(metrics.get(row["metric"], row["metric"])), *sides])
    columns = ["Pathology", "Model", "Metric", "Internal", "External", "External minus internal"]
    return make_table(caption, columns, rows, note)


def ensembles_table(results: Results, metrics: dict[str, str]) -> Table | None:
    """Ensembles over seeds and over architectures; None if there are none."""
    frame = results.comparison.get("ensembles")
    if frame is None or frame.empty:
        return None
    note = (
        "The mean probability of the members, with thresholds of its own from validation; those of an ensemble of "
        "folds come from out-of-fold scores, which are of single folds' networks."
    )
    download = offered(frame, "ensembles.tsv")
    return overall_rows(frame, "ensemble", metrics, "Ensembles on the test split", note, download)


def folds_table(results: Results, metrics: dict[str, str]) -> Table | None:
    """Cross-validation, out of fold; None if no folds were pooled."""
    frame = results.comparison.get("folds")
    if frame is None or frame.empty:
        return None
    macro = frame[frame["pathology"] == MACRO]
    note = (
        "Every patient outside the test split, scored by the network that did not train on them and ranked among that "
        "network's own; thresholds and calibration come from the other patients of the fold. The epoch that was kept "
        "was chosen on the fold itself, which flatters a little."
    )
    pooled = macro[macro["metric"] == "roc_auc_macro"]
    if "pooled" in macro and pooled["pooled"].notna().any():
        each = ", ".join(f"{row.model} {row.pooled:.3f}" for row in pooled.itertuples())
        note += (
            f" All folds' raw scores in one ranking would give a macro AUROC of {each}: that compares networks of "
            "different scales, and is not to be reported."
        )
    return overall_rows(macro, "model", metrics, "Cross-validation, within folds", note, offered(frame, "folds.tsv"))


def protocols_table(results: Results) -> Table | None:
    """Published ways of scoring beside the honest one, over all labels; None if none was asked for."""
    frame = results.comparison.get("protocols")
    if frame is None or frame.empty:
        return None
    macro = frame[frame["pathology"] == MACRO]
    metrics = macro["metric"].drop_duplicates().tolist()
    rows = []
    for (model, seed, protocol), table in macro.groupby(["model", "seed", "protocol"], sort=False):
        values = table.set_index("metric")["value"]
        cells = [number(values.get(metric), reason="undefined") for metric in metrics]
        rows.append([heading(f"{model}, seed {seed}"), words(PROTOCOLS.get(protocol, protocol)), *cells])
    spoken = {"weighted_f1": "Weighted F1"}
    columns = ["Run", "Protocol", *(spoken.get(metric, metric.capitalize()) for metric in metrics)]
    note = "The published protocol chooses thresholds on the very labels it is scored on, which flatters every model: "
    note += "it is here to be set beside papers that use it, and for nothing else."
    caption = "Published protocol, optimistic, beside the honest one"
    return make_table(caption, columns, rows, note, offered(frame, "protocols.tsv"))


def pointing_table(results: Results) -> Table | None:
    """How often each model's heat is on the finding; None where the findings' places are not known."""
    if not results.pointing:
        return None
    tables = [table.assign(model=model) for model, table in results.pointing.items()]
    frame = pd.concat(tables, ignore_index=True)
    rows = []
    for name in [*results.pathologies, ALL]:
        own = frame if name == ALL else frame[frame["pathology"] == name]
        cells = []
        for model in results.pointing:
            hits, scans = (int(own.loc[own["model"] == model, column].sum()) for column in ("hits", "scans"))
            share = hits / scans if scans else None
            cells.append(replace(number(share, 2, reason="no scans"), interval=f"{hits} of {scans}" if scans else ""))
        chance = (own["chance"] * own["scans"]).sum() / max(own["scans"].sum(), 1)
        rows.append([heading(name), *cells, number(chance if own["scans"].sum() else None, 2, reason="no scans")])
    note = (
        f"The share of test scans with the finding whose hottest voxel lies within {REACH_MM:g} mm of it. Chance: the "
        "share of all voxels that lie so near. The phantoms' findings are known to the voxel."
    )
    caption = "Pointing game: is the heat on the finding?"
    columns = ["Pathology", *results.pointing, "Chance"]
    return make_table(caption, columns, rows, note, offered(frame, "pointing.tsv"))


def calibration_table(results: Results, kind: str, most: int) -> Table | None:
    """Brier score and calibration error of each run and pathology, and the map that was fitted on validation."""
    frame = results.comparison.get("calibration")
    if frame is None or frame.empty:
        return None
    fitted = frame if kind != "none" else frame.drop(columns=["scale", "offset"], errors="ignore")
    table = frame_table("Calibration", fitted, offered(frame, "calibration.tsv"), most)
    note = "Logits as the networks gave them." if kind == "none" else f"Logits mapped by {kind}, fitted on validation."
    return make_table(table.caption, table.columns, table.rows, f"{note} {table.note}".strip(), table.download)
