"""What the tables claim about a volume's header: rescale and spacing."""

import logging
import re

import numpy as np
import pandas as pd

from hounsfield.cohort.settings import SPACING, CohortSettings

log = logging.getLogger(__name__)

FACTS = ("slope", "intercept", *SPACING)
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
# "[0.7, 0.7]" of Python, "0.7\0.7" of DICOM, or one number for both.
PAIR = re.compile(rf"\s*[\[(]?\s*({NUMBER})\s*(?:[,;\\\s]\s*({NUMBER})\s*)?[\])]?\s*")


def header_facts(table: pd.DataFrame, cohort: CohortSettings) -> pd.DataFrame:
    """Slope, intercept and spacing in mm (z, y, x) of each row of `table` (text); nan where the tables give none.

    A value that is no number, or a spacing that is not positive, counts as not given: the reader of the volume then
    relies on the volume's own header, or refuses it.
    """
    # DICOM's PixelSpacing gives the distance of rows (y) first.
    found = {
        "slope": _first(table, cohort.slope_column),
        "intercept": _first(table, cohort.intercept_column),
        "spacing_z": _first(table, cohort.z_spacing_column, positive=True),
        "spacing_y": _first(table, cohort.xy_spacing_column, positive=True),
        "spacing_x": _second(table, cohort.xy_spacing_column),
    }
    return pd.DataFrame(found, index=table.index, columns=list(FACTS), dtype=float)


def _first(table: pd.DataFrame, column: str, positive: bool = False) -> np.ndarray:
    return _values(table, column, 1, positive)


def _second(table: pd.DataFrame, column: str) -> np.ndarray:
    return _values(table, column, 2, positive=True)


def _values(table: pd.DataFrame, column: str, group: int, positive: bool) -> np.ndarray:
    if column not in table:
        return np.full(len(table), np.nan)
    meanings = {text: _number(text, group, positive) for text in table[column].unique()}
    bad = [text for text, value in meanings.items() if text.strip() and np.isnan(value)]
    if bad and group == 1:
        hit = table["volume"][table[column] == bad[0]]
        log.warning("%s: %s is %r, which is not used (%d such values)", hit.iloc[0], column, bad[0], len(bad))
    return table[column].map(meanings).to_numpy(float)


def _number(text: str, group: int, positive: bool) -> float:
    match = PAIR.fullmatch(text)
    if match is None:
        return float("nan")
    value = float(match.group(group) or match.group(1))
    return value if np.isfinite(value) and (value > 0 or not positive) else float("nan")
