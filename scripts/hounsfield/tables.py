"""The one way tables are read and written: TSV with a header, an empty cell for what is undefined."""

import os
from collections.abc import Sequence

import pandas as pd

from hounsfield.errors import TableError
from hounsfield.files import atomic_write

# Columns of dataset.tsv before the labels, none of them a number, whatever it looks like.
DATASET_COLUMNS = ("volume", "scan", "patient", "split", "key")


def read_dataset(path: str | os.PathLike) -> pd.DataFrame:
    """dataset.tsv: DATASET_COLUMNS, then a column a label (1, 0, or nan where unknown). Raises TableError."""
    return read_table(path, DATASET_COLUMNS)


def read_table(path: str | os.PathLike, text: Sequence[str] = ()) -> pd.DataFrame:
    """Read a TSV; columns in `text` stay strings ("007", "NA" and "" survive), the others are inferred.

    Raises TableError if the file is missing, empty or cut within a line.
    """
    try:
        with open(path, "rb") as file:
            file.seek(-1, os.SEEK_END)
            if file.read() != b"\n":
                raise TableError(f"{path}: ends in the middle of a line; remove it to have it remade")
        header = pd.read_csv(path, sep="\t", nrows=0).columns
        kinds = {column: str for column in text if column in header}
        frame = pd.read_csv(path, sep="\t", dtype=kinds, keep_default_na=False, na_values=_missing(header, kinds))
    except (OSError, pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise TableError(f"{path}: cannot be read as a TSV table ({error}); remove it to have it remade") from error
    missing = [column for column in text if column not in header]
    if missing:
        raise TableError(f"{path}: lacks the column {missing[0]!r}")
    return frame


def write_table(frame: pd.DataFrame, path: str | os.PathLike) -> None:
    """Write a TSV atomically, floats with all their digits, undefined values as empty cells."""
    with atomic_write(path) as partial:
        frame.to_csv(partial, sep="\t", index=False, na_rep="", lineterminator="\n")


def _missing(header: Sequence[str], text: dict) -> dict:
    return {column: [""] for column in header if column not in text}
