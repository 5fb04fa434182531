"""Tables as users bring them: CSV, TSV or Excel, as text, with nothing guessed and nothing cut short."""

import csv
import hashlib
import logging
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import pandas as pd

from hounsfield.errors import TableError

log = logging.getLogger(__name__)

SUFFIXES = (".nii.gz", ".nii", ".hdr.gz", ".hdr", ".npz", ".nrrd", ".nhdr", ".mha", ".mhd")
# Reports of several pages stand in cells; beyond this, a quote was not closed.
LONGEST_CELL = 10_000_000
LARGEST_EXCEL_BYTES = 2**30  # unpacked: a million rows, the most that Excel has, of 50 columns
# What openpyxl and what lies below it raise on damaged bytes.
UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, NotImplementedError, ImportError, EOFError)
UNREADABLE += (SyntaxError, BadZipFile, zlib.error)


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
    rows = _rows(path)
    _, header = next(rows, (0, []))
    header = [name.strip() for name in header]
    repeated = [name for name in header if name and header.count(name) > 1]
    if repeated:
        raise TableError(f"{path}: has two columns named {repeated[0]!r}; rename or remove one")
    places = {name: place for place, name in enumerate(header) if name}
    return pd.DataFrame(_columns(path, rows, places, len(header)), columns=list(places), dtype=object)


def read_header(path: str) -> list[str]:
    """Names of a table's columns. Raises TableError."""
    _, header = next(_rows(path), (0, []))
    return [name.strip() for name in header]


def volume_name(written: str) -> str:
    """A file's name or path as the volume's name: its last part, without the suffix of an image, in one Unicode form.

    macOS writes accents as two characters, tables mostly as one.
    """
    name = unicodedata.normalize("NFC", written.strip().replace("\\", "/").rstrip("/").rsplit("/", 1)[-1])
    suffix = next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(suffix)]


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
    rows = _rows(path)
    _, header = next(rows, (0, []))
    header = [name.strip() for name in header]
    for name in (volume_column, *required):
        if name not in header:
            raise TableError(f"{path}: lacks the column {name!r}{hint(name, header)}")
    places = {name: place for place, name in enumerate(header) if name in (volume_column, *required) or wanted(name)}
    repeated = [name for name in places if header.count(name) > 1]
    if repeated:
        raise TableError(f"{path}: has two columns named {repeated[0]!r}; rename or remove one")
    columns = _columns(path, rows, places, len(header))
    frame = pd.DataFrame(columns, columns=list(places), dtype=object)
    names = [volume_name(written) for written in frame[volume_column]]
    bad = next((index for index, name in enumerate(names) if not name or not is_writable_name(name)), None)
    if bad is not None:
        raise TableError(f"{path}: row {bad + 1} has no usable {volume_column!r} ({frame[volume_column][bad]!r})")
    log.info("%s: %d rows, blake2b %s", path, len(frame), _digest(path))
    named = frame[volume_column].str.strip()
    return frame.drop(columns=[name for name in ("volume", "named") if name in frame]).assign(volume=names, named=named)


def _columns(path: str, rows: Iterable[tuple[int, list[str]]], places: dict[str, int], width: int) -> dict[str, list]:
    columns: dict[str, list[str]] = {name: [] for name in places}
    pairs = [(columns[name], place) for name, place in places.items()]
    for line, row in rows:
        if len(row) != width:
            if not any(cell.strip() for cell in row):
                continue
            if len(row) < width or any(cell.strip() for cell in row[width:]):
                raise TableError(
                    f"{path}: line {line} has {len(row)} cells and the header {width}; is the file complete?"
                )
        elif not any(row):
            continue
        for values, place in pairs:
            values.append(row[place])
    return columns


def _rows(path: str) -> Iterator[tuple[int, list[str]]]:
    excel = Path(path).suffix.lower() in (".xlsx", ".xlsm")
    return iter(_excel_rows(path) if excel else _text_rows(path))


def _text_rows(path: str) -> Iterable[tuple[int, list[str]]]:
    separator = "\t" if Path(path).suffix.lower() == ".tsv" else ","
    csv.field_size_limit(LONGEST_CELL)
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, delimiter=separator, strict=True)
            for row in reader:
                yield reader.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TableError(f"{path}: cannot be read as a table ({error}); save it as UTF-8 CSV") from error


def _excel_rows(path: str) -> Iterable[tuple[int, list[str]]]:
    try:
        with ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > LARGEST_EXCEL_BYTES:
            raise TableError(f"{path}: unpacks to {size / 2**30:.1f} GiB, more than any sheet; save it as UTF-8 CSV")
        sheet = pd.read_excel(path, header=None, dtype=str, keep_default_na=False, na_filter=False)
    except UNREADABLE as error:
        shown = " ".join(repr(str(error))[1:-1].split())
        raise TableError(f"{path}: cannot be read as Excel ({shown}); save it as UTF-8 CSV") from error
    for line, row in enumerate(sheet.itertuples(index=False), 1):
        yield line, list(row)


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
