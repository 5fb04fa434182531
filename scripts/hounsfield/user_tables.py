"""Rows of the tables that users bring: CSV, TSV or Excel, as text, nothing guessed unsaid and nothing cut short."""

import codecs
import csv
import datetime
import hashlib
import io
import logging
import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from hounsfield.errors import TableError

log = logging.getLogger(__name__)

Row = tuple[int, list[str]]  # the line (or Excel's row) that it begins in, counted from 1, and its cells

# Reports of several pages stand in cells; beyond this, a quote was not closed.
LONGEST_CELL = 10_000_000
EXCEL_SUFFIXES = (".xlsx", ".xlsm")
LARGEST_EXCEL_BYTES = 2**30  # unpacked: a million rows, the most that Excel has, of 50 columns
MOST_EXCEL_CELLS = 60_000_000
SEPARATORS = ",;\t|"
# The longer marks first, as those of UTF-32 begin like those of UTF-16.
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# What openpyxl and what lies below it raise on damaged bytes.
UNREADABLE: tuple[type[BaseException], ...] = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    NotImplementedError,
    ImportError,
    EOFError,
)
UNREADABLE += (SyntaxError, BadZipFile, zlib.error)


def is_excel(path: str | os.PathLike) -> bool:
    """Whether a table is one that Excel writes, by its name."""
    return Path(path).suffix.lower() in EXCEL_SUFFIXES


def read_rows(path: str | os.PathLike) -> Iterator[Row]:
    """All rows of a table, the header first; the log names what had to be found out: encoding, separator, sheet.

    Raises TableError for a table that cannot be read.
    """
    return _excel_rows(path) if is_excel(path) else _text_rows(path)


def read_header(path: str | os.PathLike) -> list[str]:
    """Names of a table's columns, without blanks around them. Raises TableError."""
    _, header = next(read_rows(path), (0, []))
    return [name.strip() for name in header]


def digest(path: str | os.PathLike) -> str:
    """Hex digest of a table's bytes. Raises TableError."""
    return hashlib.blake2b(_content(path), digest_size=16).hexdigest()


def _content(path: str | os.PathLike) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise TableError(f"{path}: cannot be read as a table ({error}); correct its path or its permissions") from error


def _text_rows(path: str | os.PathLike) -> Iterator[Row]:
    text = _decoded(_content(path), path)
    first, _, rest = text.partition("\n")
    told = re.fullmatch(r'"?sep=(.)"?\r?', first)  # a line by which Excel tells the separator
    separator = told.group(1) if told else _separator(text, path)
    csv.field_size_limit(LONGEST_CELL)
    reader = csv.reader(io.StringIO(rest if told else text, newline=""), delimiter=separator, strict=True)
    begin = 1
    try:
        for row in reader:
            yield begin + bool(told), row
            begin = reader.line_num + 1
    except csv.Error as error:
        line = reader.line_num + bool(told)
        raise TableError(f"{path}: line {line} cannot be read ({error}); save the table as UTF-8 CSV") from error


def _decoded(content: bytes, path: str | os.PathLike) -> str:
    """By a byte order mark, else as UTF-8, else by what the bytes look like, which the log says."""
    marked = next((encoding for mark, encoding in MARKS if content.startswith(mark)), None)
    try:
        return content.decode(marked or "utf-8")
    except UnicodeDecodeError as error:
        if marked is not None:
            detail = f"its mark says {marked}, and it is not ({error.reason}); save it as UTF-8 CSV"
            raise TableError(f"{path}: {detail}") from error
    from charset_normalizer import from_bytes  # only where it is needed

    found = from_bytes(content).best()
    if found is None or "\0" in str(found):
        raise TableError(f"{path}: is text of no known encoding; save it as UTF-8 CSV")
    log.warning("%s: is not UTF-8; read as %s, so look at its accents", path, found.encoding)
    return str(found)


def _separator(text: str, path: str | os.PathLike) -> str:
    """The one that parts the header; by the file's name if none does."""
    usual = "\t" if Path(path).suffix.lower() == ".tsv" else ","
    header = re.sub(r'"[^"]*"', "", next((line for line in text.splitlines() if line.strip()), ""))
    counts = {separator: header.count(separator) for separator in usual + SEPARATORS}
    found = max(counts, key=counts.__getitem__)  # the usual one comes first
    if counts[usual] or not counts[found]:
        return usual
    log.warning("%s: its columns are parted by %r", path, found)
    return found


def _excel_rows(path: str | os.PathLike) -> Iterator[Row]:
    try:
        with ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > LARGEST_EXCEL_BYTES:
            raise TableError(f"{path}: unpacks to {size / 2**30:.1f} GiB, more than any sheet; save it as UTF-8 CSV")
        rows = list(_sheet_rows(path))
    except UNREADABLE as error:
        shown = " ".join(repr(str(error))[1:-1].split())
        raise TableError(f"{path}: cannot be read as Excel ({shown}); save it as UTF-8 CSV") from error
    width = len(rows[0][1]) if rows else 0
    for line, row in rows:
        yield line, row + [""] * (width - len(row))


def _sheet_rows(path: str | os.PathLike) -> Iterator[Row]:
    """Rows of the first sheet that is not hidden, without the empty cells at their ends."""
    import openpyxl  # only where it is needed

    book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    try:
        visible = [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"]
        if not visible:
            raise TableError(f"{path}: has no visible sheet; save the right one as UTF-8 CSV")
        if len(book.sheetnames) > 1:
            others = ", ".join(name for name in book.sheetnames if name != visible[0].title)
            log.warning("%s: the sheet %r is read, and not %s", path, visible[0].title, others)
        cells = 0
        for line, row in enumerate(visible[0].iter_rows(values_only=True), 1):
            cells += len(row)
            if cells > MOST_EXCEL_CELLS:
                raise TableError(f"{path}: has more than {MOST_EXCEL_CELLS} cells; save what is needed as UTF-8 CSV")
            texts = [_excel_text(value) for value in row]
            while texts and not texts[-1]:
                texts.pop()
            yield line, texts
    finally:
        book.close()


def _excel_text(value: Any) -> str:
    """A cell as it would stand in a CSV; an error, such as #N/A, as its name."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date().isoformat()
    return value.isoformat() if isinstance(value, (datetime.date, datetime.datetime)) else str(value)
