"""What the tables claim about a volume's header: rescale and spacing."""

import logging
import re
from collections.abc import Iterable

import numpy as np
import pandas as pd

from hounsfield.cohort.settings import SPACING, CohortSettings
from hounsfield.errors import TableError

log = logging.getLogger(__name__)

FACTS = ("slope", "intercept", *SPACING)
POINT, COMMA = ".", ","
SIGN = r"[-+]?"
PLAIN = re.compile(rf"{SIGN}(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
WITH_COMMA = re.compile(rf"{SIGN}(?:\d+,\d*|,\d+)(?:[eE][-+]?\d+)?")
# A comma, or a point, that may part thousands: 1,024 or 1.024,5; not 0,625.
GROUPED = re.compile(rf"{SIGN}[1-9]\d{{0,2}}(?:,\d{{3}})+")
GROUPED_BEFORE_POINT = re.compile(rf"{SIGN}[1-9]\d{{0,2}}(?:,\d{{3}})+\.\d+")
GROUPED_BEFORE_COMMA = re.compile(rf"{SIGN}[1-9]\d{{0,2}}(?:\.\d{{3}})+,\d+")
BETWEEN = re.compile(r"\s*[;\\]\s*|,\s+|\s+")


def header_facts(table: pd.DataFrame, cohort: CohortSettings) -> pd.DataFrame:
    """Slope, intercept and spacing in mm (z, y, x) of each row of `table` (text); nan where the tables give none.

    A value that is no number, or a spacing that is not positive, counts as not given: the reader of the volume then
    relies on the volume's own header, or refuses it. Raises TableError for what may be read as two numbers.
    """
    xy = _values(table, cohort.xy_spacing_column, pairs=True, positive=True)
    # DICOM's PixelSpacing gives the distance of rows (y) first.
    found = {
        "slope": _values(table, cohort.slope_column)[0],
        "intercept": _values(table, cohort.intercept_column)[0],
        "spacing_z": _values(table, cohort.z_spacing_column, positive=True)[0],
        "spacing_y": xy[0],
        "spacing_x": xy[1],
    }
    return pd.DataFrame(found, index=table.index, columns=list(FACTS), dtype=float)


def _values(
    table: pd.DataFrame, column: str, pairs: bool = False, positive: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """First and second number of each cell; of a cell with one, that one twice."""
    if column not in table:
        return np.full(len(table), np.nan), np.full(len(table), np.nan)
    texts = table[column].unique()
    mark = decimal_mark(texts)
    meanings: dict[str, tuple[float, float]] = {}
    for text in texts:
        numbers = read_numbers(text, mark, pairs)
        if numbers is None:
            volume = table.loc[table[column] == text, "volume"].iloc[0]
            raise TableError(
                f"{volume}: {column} is {text!r}, which may be one number or several; write points for decimals, "
                "and nothing between thousands"
            )
        usable = bool(numbers) and np.isfinite(numbers).all() and (min(numbers) > 0 or not positive)
        meanings[text] = (numbers[0], numbers[-1]) if usable else (np.nan, np.nan)
    bad = [text for text, (value, _) in meanings.items() if text.strip() and np.isnan(value)]
    if bad:
        hit = table["volume"][table[column] == bad[0]]
        log.warning("%s: %s is %r, which is not used (%d such values)", hit.iloc[0], column, bad[0], len(bad))
    first, second = (table[column].map({text: pair[place] for text, pair in meanings.items()}) for place in (0, 1))
    return first.to_numpy(float), second.to_numpy(float)


def with_points(texts: pd.Series) -> pd.Series:
    """A column of numbers with decimal commas, such as ages, with points; any other column as it is."""
    filled = [text for text in texts.unique() if text.strip()]
    if decimal_mark(filled) != COMMA:
        return texts
    numbers = {text: read_numbers(text, COMMA, pairs=False) for text in filled}
    if not all(found and np.isfinite(found).all() for found in numbers.values()):
        return texts
    return texts.map({text: repr(found[0]) for text, found in numbers.items() if found}).fillna(texts)


def decimal_mark(texts: Iterable[str]) -> str | None:
    """The decimal mark of a column, seen in the whole of it; None if that cannot be told.

    A column with both marks has points, unless a comma stands behind groups of thousands.
    """
    parts = [part for text in texts for part in BETWEEN.split(_bare(text)) if part]
    if any(GROUPED_BEFORE_COMMA.fullmatch(part) for part in parts):
        return COMMA
    if any(POINT in part for part in parts):
        return POINT
    marked = [part for part in parts if WITH_COMMA.fullmatch(part)]
    if not marked:
        return POINT
    return COMMA if any(not GROUPED.fullmatch(part) for part in marked) else None


def read_numbers(text: str, mark: str | None, pairs: bool) -> list[float] | None:
    """The one or two numbers of a cell in a column of decimal `mark`; [] for what is no number, None for a riddle.

    "[0.7, 0.7]" of Python, "0.7\\0.7" of DICOM, "0,7 0,7" of a European spreadsheet, or one number for both.
    """
    body = _bare(text)
    parts = [part for part in BETWEEN.split(body) if part]
    if len(parts) == 1 and COMMA in body:
        halves = body.split(COMMA)
        listed = body != text.strip() or POINT in body  # [1,1], or 0.7,0.7
        if pairs and listed and len(halves) == 2 and all(map(PLAIN.fullmatch, halves)):
            parts = halves
    if len(parts) > (2 if pairs else 1):
        return []
    numbers = [_number(part, mark) for part in parts]
    return None if None in numbers else [number for number in numbers if number is not None]


def _number(part: str, mark: str | None) -> float | None:
    """nan for what is no number, None for what cannot be told."""
    if GROUPED_BEFORE_POINT.fullmatch(part):
        return float(part.replace(COMMA, "")) if mark == POINT else None
    if GROUPED_BEFORE_COMMA.fullmatch(part):
        return float(part.replace(POINT, "").replace(COMMA, POINT)) if mark == COMMA else None
    if WITH_COMMA.fullmatch(part):
        return float(part.replace(COMMA, POINT)) if mark == COMMA else None
    if PLAIN.fullmatch(part):
        return float(part) if mark != COMMA or POINT not in part else None
    return None if re.fullmatch(r"[-+\d.,eE]*\d[-+\d.,eE]*,[-+\d.,eE]*", part) else float("nan")


def _bare(text: str) -> str:
    """Without blanks and brackets around it."""
    return text.strip().strip("[]()").strip()
