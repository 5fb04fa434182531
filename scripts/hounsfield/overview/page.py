"""The page of the cohort: what is in it, how it is split, what was left out, and every volume to look at."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from hounsfield.files import atomic_write
from hounsfield.report.rendering import render
from hounsfield.report.svg import COLOURS, drawing, to_svg
from hounsfield.report.tables import Table, heading, make_table, number, offered, words

SHOWN_FACTS = ("spacing_z", "spacing_y", "spacing_x", "shape_z", "shape_y", "shape_x", "hu_source")


def write_page(
    dataset: pd.DataFrame,
    stored: pd.DataFrame,
    pictures: pd.DataFrame,
    histogram: pd.DataFrame,
    excluded: pd.DataFrame,
    pathologies: Sequence[str],
    config: Mapping[str, Any],
    out: Path,
) -> None:
    """Write `out`, which shows the pictures in the folder `pictures` beside it.

    dataset, stored, excluded: tables of the cohort. pictures: a row a volume, with `shard`. histogram: hu, voxels.
    """
    volumes = volume_rows(dataset, stored, pictures, pathologies)
    content = {
        "name": config["name"],
        "used": len(dataset),
        "patients": dataset["patient"].nunique(),
        "scans": dataset["scan"].nunique(),
        "left_out": excluded["volume"].nunique(),
        "shape": " x ".join(map(str, config["preprocessing"]["shape"])),
        "spacing": " x ".join(f"{mm:g}" for mm in config["preprocessing"]["spacing"]),
        "labels": label_table(dataset, pathologies),
        "together": together_table(dataset, pathologies),
        "facts": facts_table(volumes),
        "exclusions": exclusion_table(excluded),
        "histogram": Markup(histogram_plot(histogram)),
        "sizes": Markup(sizes_plot(volumes)),
        "data": Markup(as_json(volumes, pathologies, out.parent)),
        "pathologies": list(pathologies),
    }
    with atomic_write(out) as partial:
        partial.write_text(render(content, "overview.html", "hounsfield.overview", "overview.js"), encoding="utf-8")


def volume_rows(
    dataset: pd.DataFrame, stored: pd.DataFrame, pictures: pd.DataFrame, pathologies: Sequence[str]
) -> pd.DataFrame:
    """A row a volume of the dataset: the geometry of its file, its HU, and how many volumes have its very voxels."""
    facts = stored[["volume", "digest", *SHOWN_FACTS]]
    rows = dataset[["volume", "scan", "patient", "split", "key", *pathologies]].merge(facts, on="volume", how="left")
    rows = rows.merge(pictures.drop(columns="key"), on="volume", how="left")
    return rows.assign(same=rows.groupby("digest")["volume"].transform("size"))


def as_json(volumes: pd.DataFrame, pathologies: Sequence[str], folder: Path) -> str:
    """The rows for the page's script, safe within a <script> element; paths of files are below `folder`."""
    rows = [
        [
            row["volume"],
            row["patient"],
            row["split"],
            [None if pd.isna(row[name]) else int(row[name]) for name in pathologies],
            os.path.join("pictures", row["shard"], f"{row['key']}.png"),
            [round(float(row[f"spacing_{axis}"]), 3) for axis in "zyx"],
            [int(row[f"shape_{axis}"]) for axis in "zyx"],
            [round(float(row[name])) for name in ("hu_p01", "hu_median", "hu_p99")],
            row["hu_source"],
            int(row["same"]),
        ]
        for row in volumes.to_dict("records")
    ]
    text = json.dumps({"pathologies": list(pathologies), "rows": rows}, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def label_table(dataset: pd.DataFrame, pathologies: Sequence[str]) -> Table:
    """Of each label and split the scans with it, without it, and unknown."""
    scans = dataset.groupby("scan").agg({"split": "first", **dict.fromkeys(pathologies, "max")})
    rows = []
    for name in pathologies:
        cells = [heading(name)]
        for split in ("train", "val", "test"):
            labels = scans.loc[scans["split"] == split, name]
            present, known = int((labels == 1).sum()), int(labels.notna().sum())
            share = f"{present / known:.1%} of {known}" if known else ""
            cells.append(replace(number(present, 0), interval=share))
        rows.append(cells)
    note = "Scans with the finding, and their share of the scans whose label is known."
    return make_table("Labels by split", ["Finding", "train", "val", "test"], rows, note)


def together_table(dataset: pd.DataFrame, pathologies: Sequence[str]) -> Table:
    """How often scans with one finding (row) have another (column), in percent."""
    scans = dataset.groupby("scan")[list(pathologies)].max()
    rows = []
    for name in pathologies:
        having = scans[scans[name] == 1]
        shares = [having[other].mean() if len(having) else np.nan for other in pathologies]
        rows.append(
            [
                heading(f"{name} ({len(having)})"),
                *(number(100 * share, 0, reason="none", heat=None if np.isnan(share) else share) for share in shares),
            ]
        )
    note = "Of the scans with the finding of the row, percent that also have that of the column."
    return make_table("Findings that come together", ["Finding (scans)", *pathologies], rows, note)


def facts_table(volumes: pd.DataFrame) -> Table:
    """Spacing and size of the files: least, quartiles, most."""
    rows = []
    for name, digits in (
        ("spacing_z", 2),
        ("spacing_y", 2),
        ("shape_z", 0),
        ("shape_y", 0),
        ("hu_p01", 0),
        ("hu_p99", 0),
    ):
        values = volumes[name].astype(float)
        cells = (number(values.quantile(share), digits) for share in (0, 0.05, 0.5, 0.95, 1))
        rows.append([heading(SPOKEN[name]), *cells])
    return make_table(
        "Files, before they were brought to the grid", ["", "least", "5 %", "median", "95 %", "most"], rows
    )


SPOKEN = {
    "spacing_z": "distance of slices, mm",
    "spacing_y": "pixel spacing, mm",
    "shape_z": "slices",
    "shape_y": "rows",
    "hu_p01": "HU of the darkest 1 % (on the grid)",
    "hu_p99": "HU of the brightest 1 % (on the grid)",
}


def exclusion_table(excluded: pd.DataFrame, most: int = 500) -> Table | None:
    """What was left out, and why; None if nothing was."""
    if excluded.empty:
        return None
    rows = [[heading(row.volume), words(row.reason), words(row.detail)] for row in excluded[:most].itertuples()]
    note = f"The first {most} of {len(excluded)}; cohort/excluded.tsv names all." if len(excluded) > most else ""
    return make_table("Left out", ["Volume", "Reason", "Detail"], rows, note, offered(excluded, "excluded.tsv"))


def histogram_plot(histogram: pd.DataFrame) -> str:
    """Share of all voxels by HU, on a logarithmic axis."""
    total = histogram.groupby("hu")["voxels"].sum()
    with drawing(5.6, 2.2) as (figure, axes):
        width = float(np.diff(total.index[:2])[0])
        axes.bar(total.index + width / 2, total / max(1, total.sum()), width=width, color=COLOURS[0])
        axes.set_yscale("log")
        axes.set_xlabel("HU, on the grid that networks see (air at the edges is padding)")
        axes.set_ylabel("share of voxels")
        return to_svg(figure, "hu", "Histogram of HU over all volumes")


def sizes_plot(volumes: pd.DataFrame) -> str:
    """Extent of each file along z and x, mm, and the grid's own as lines."""
    z, x = (volumes[f"shape_{axis}"].astype(float) * volumes[f"spacing_{axis}"].astype(float) for axis in "zx")
    with drawing(5.6, 2.6) as (figure, axes):
        axes.plot(x, z, linestyle="", marker="o", markersize=3, alpha=0.5, color=COLOURS[1])
        axes.set_xlabel("extent from right to left, mm")
        axes.set_ylabel("from foot to head, mm")
        return to_svg(figure, "extent", "Extent of each volume")
