"""The columns that are wanted of users' tables, and the names of volumes, scans and patients in one spelling."""

import logging
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from difflib import get_close_matches

import pandas as pd

from hounsfield.errors import TableError
from hounsfield.user_tables import Row, digest, read_rows

log = logging.getLogger(__name__)

SUFFIXES = (".nii.gz", ".nii", ".hdr.gz", ".hdr", ".npz", ".nrrd", ".nhdr", ".mha", ".mhd")
SHORTENED = re.compile(r"\d\.\d+E\+\d+")  # what a spreadsheet shows of a long number


def read_user_tables(
    paths: Sequence[str], volume_column: str, wanted: Callable[[str], bool], required: Sequence[str] = ()
) -> pd.DataFrame:
    """The rows of all tables as text: `volume` (the name without suffix), `named` (as written), and wanted columns.

    Raises TableError if a table cannot be read, is cut short, or lacks `volume_column` or a required column.
    """
    frames = [_read_user_table(path, volume_column, wanted, required) for path in paths]
    if not frames:
        return pd.DataFrame({"volume": [], "named": []}, dtype=str)
    return pd.concat(frames, ignore_index=True).fillna("")


def read_whole_table(path: str) -> pd.DataFrame:
    """All columns of a table as text. Raises TableError as `read_user_tables` does."""
    rows = read_rows(path)
    header = _header(path, rows)
    repeated = [name for name in header if name and header.count(name) > 1]
    if repeated:
        raise TableError(f"{path}: has two columns named {repeated[0]!r}; rename or remove one")
    places = {name: place for place, name in enumerate(header) if name}
    columns, _ = _cells(path, rows, places, len(header))
    return pd.DataFrame(columns, columns=list(places), dtype=object)


def volume_name(written: str) -> str:
    """A file's name or path as the volume's name: its last part, without the suffix of an image, as `plain_name`."""
    name = plain_name(written).replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    suffix = next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), "")
    return plain_name(name[: len(name) - len(suffix)])


def plain_name(written: str) -> str:
    """A name in one spelling: Unicode NFKC, no blanks around it, no `.0` that a spreadsheet added to a number.

    macOS writes accents as two characters, tables mostly as one; Japanese tables have wide digits.
    """
    name = unicodedata.normalize("NFKC", written).strip()
    return name[:-2] if re.fullmatch(r"\d+\.0", name) else name


def folded_name(name: str) -> str:
    """What names have in common that differ only in case or in zeros before a number (not in 1.05 and 1.5)."""
    return re.sub(r"(?<![\d.])0+(?=\d)", "", name.casefold())


def is_writable_name(name: str) -> bool:
    """Whether `name` can stand in a table: no control characters, and valid Unicode."""
    return not any(unicodedata.category(character) in ("Cc", "Cs") for character in name)


def hint(name: str, columns: Iterable[str]) -> str:
    """The rest of a message about a column that is not there: the one most like it, or the first few."""
    columns = list(columns)
    close = get_close_matches(name, columns, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; it has {', '.join(columns[:8])}"


def _read_user_table(
    path: str, volume_column: str, wanted: Callable[[str], bool], required: Sequence[str]
) -> pd.DataFrame:
    rows = read_rows(path)
    header = _header(path, rows)
    for name in (volume_column, *required):
        if name not in header:
            raise TableError(f"{path}: lacks the column {name!r}{hint(name, header)}")
    places = {name: place for place, name in enumerate(header) if name in (volume_column, *required) or wanted(name)}
    repeated = [name for name in places if header.count(name) > 1]
    if repeated:
        raise TableError(f"{path}: has two columns named {repeated[0]!r}; rename or remove one")
    columns, lines = _cells(path, rows, places, len(header))
    frame = pd.DataFrame(columns, columns=list(places), dtype=object)
    names = [volume_name(written) for written in frame[volume_column]]
    bad = next((index for index, name in enumerate(names) if not _is_usable(name)), None)
    if bad is not None:
        written = frame[volume_column][bad]
        raise TableError(f"{path}: line {lines[bad]} has no usable {volume_column!r} ({written!r})")
    log.info("%s: %d rows, blake2b %s", path, len(frame), digest(path))
    named = frame[volume_column].str.strip()
    return frame.drop(columns=[name for name in ("volume", "named") if name in frame]).assign(volume=names, named=named)


def _is_usable(name: str) -> bool:
    return name != "" and is_writable_name(name) and not SHORTENED.fullmatch(name)


def _cells(
    path: str, rows: Iterable[Row], places: dict[str, int], width: int
) -> tuple[dict[str, list[str]], list[int]]:
    """The cells of the columns at `places`, without empty rows, and the line that each row begins in."""
    columns: dict[str, list[str]] = {name: [] for name in places}
    pairs, lines = [(columns[name], place) for name, place in places.items()], []
    for line, row in rows:
        if not any(cell.strip() for cell in row):
            continue
        if len(row) < width or any(cell.strip() for cell in row[width:]):
            raise TableError(f"{path}: line {line} has {len(row)} cells and the header {width}; is the file complete?")
        for values, place in pairs:
            values.append(row[place])
        lines.append(line)
    return columns, lines


def _header(path: str, rows: Iterator[Row]) -> list[str]:
    _, header = next(rows, (0, []))
    header = [name.strip() for name in header]
    while header and not header[-1]:
        header.pop()  # of separators at the end of the line
    return header
