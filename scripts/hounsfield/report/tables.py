"""Tables of the page: cells with an interval or the reason why there is none, and the file to download."""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

DASH = "–"
# Larger tables stay in the results folder.
LARGEST_DOWNLOAD = 150_000


@dataclass(frozen=True)
class Cell:
    """text; an interval or, for what is undefined, the reason; numeric: sorted by `sort`, a number or undefined.

    heading: names its row. strong: bold. heat: 0 to 1, the strength of its tint.
    """

    text: str
    interval: str = ""
    reason: str = ""
    numeric: bool = False
    sort: float | None = None
    heading: bool = False
    strong: bool = False
    heat: float | None = None


@dataclass(frozen=True)
class Download:
    """A file within the page."""

    name: str
    source: str


@dataclass(frozen=True)
class Table:
    """A table with its caption; rows of as many cells as there are columns."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    download: Download | None = None
    numeric: Sequence[bool] = field(default=())


def number(value: Any, digits: int = 3, low: Any = None, high: Any = None, reason: str = "", **more: Any) -> Cell:
    """A number with so many decimals, its interval if there is one; a dash and the reason for what is undefined."""
    if value is None or pd.isna(value):
        return Cell(DASH, reason=reason, numeric=True, **more)
    interval = "" if low is None or pd.isna(low) else f"{decimal(low, digits)} to {decimal(high, digits)}"
    return Cell(decimal(value, digits), interval=interval, numeric=True, sort=float(value), **more)


def decimal(value: float, digits: int = 3) -> str:
    """So many decimals, thousands set apart, a true minus, no minus before zero."""
    text = f"{value:,.{digits}f}".replace(",", "\u202f")
    if text.startswith("-"):
        text = text[1:] if not any(digit in text for digit in "123456789") else f"−{text[1:]}"
    return text


def p_value(value: Any) -> Cell:
    """A p value; below a thousandth it says only that."""
    if value is None or pd.isna(value):
        return Cell(DASH, reason="undefined", numeric=True)
    return Cell("< 0.001" if value < 0.001 else f"{value:.3f}", numeric=True, sort=float(value))


def duration(seconds: Any, reason: str = "not measured") -> Cell:
    """A time in the unit that suits it."""
    if seconds is None or pd.isna(seconds):
        return Cell(DASH, reason=reason, numeric=True)
    if 0 < seconds < 1:
        return Cell("< 1 s", numeric=True, sort=float(seconds))
    unit, size = next((unit for unit in (("h", 3600), ("min", 60)) if seconds >= unit[1]), ("s", 1))
    return Cell(f"{seconds / size:.{0 if size == 1 else 1}f} {unit}", numeric=True, sort=float(seconds))


def heading(text: Any) -> Cell:
    """The cell that names its row."""
    return Cell(str(text), heading=True)


def words(text: Any) -> Cell:
    """Text; a dash for an empty cell."""
    return Cell(DASH if text is None or pd.isna(text) or text == "" else str(text))


def make_table(
    caption: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    note: str = "",
    download: Download | None = None,
) -> Table:
    """A table whose columns of numbers are known as such, for their alignment."""
    rows = [list(row) for row in rows]
    numeric = [any(row[place].numeric for row in rows) for place in range(len(columns))]
    return Table(caption, columns, rows, note, download, numeric)


def frame_table(caption: str, frame: pd.DataFrame, download: Download | None, most: int) -> Table:
    """Any table as it is, with `x`, `x_low` and `x_high` (or `value`, `low` and `high`) as one column."""
    folded = {}
    for column in frame:
        low, high = ("low", "high") if column in ("value", "difference") else (f"{column}_low", f"{column}_high")
        if {low, high} <= set(frame):
            folded[column] = (low, high)
    ends = {end for pair in folded.values() for end in pair}
    columns = [column for column in frame if column not in ends]
    rows = []
    for record in frame[:most].to_dict("records"):
        cells = []
        for place, column in enumerate(columns):
            value = record[column]
            if not pd.api.types.is_numeric_dtype(frame[column]):
                cells.append(heading(value) if place == 0 else words(value))
                continue
            whole = (frame[column].dropna() % 1 == 0).all()
            low, high = [record[end] for end in folded[column]] if column in folded else (None, None)
            cells.append(number(value, 0 if whole and column not in folded else 3, low, high))
        rows.append(cells)
    note = f"The first {most} of {len(frame)} rows." if len(frame) > most else ""
    return make_table(caption, [spoken(column) for column in columns], rows, note, download)


def spoken(column: str) -> str:
    """A column's name in words."""
    return column.replace("_", " ").replace("roc auc", "AUROC")


def offered(frame: pd.DataFrame, name: str) -> Download | None:
    """The table as a TSV to download; None if it is too large to carry along."""
    text = frame.to_csv(sep="\t", index=False, lineterminator="\n")
    return download_of(text, name, "text/tab-separated-values") if len(text.encode()) <= LARGEST_DOWNLOAD else None


def download_of(text: str, name: str, kind: str) -> Download:
    """A text of a MIME type to download."""
    return Download(name, f"data:{kind};base64,{base64.b64encode(text.encode()).decode()}")
