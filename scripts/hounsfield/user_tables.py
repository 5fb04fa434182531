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
from itertools import islice
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from hounsfield.errors import TableError

log = logging.getLogger(__name__)

Row = tuple[int, list[str]]  # the line (or Excel's row) that it begins in, counted from 1, and its cells

# Reports of several pages stand in cells; beyond this, a quote was not closed.
LONGEST_CELL = 10_000_000
EXCEL_SUFFIXES = (".xlsx", ".xlsm")
ZIP, OLD_EXCEL = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
LARGEST_EXCEL_BYTES = 2**30  # unpacked: a million rows, the most that Excel has, of 50 columns
MOST_EXCEL_CELLS = 60_000_000
MOST_EXCEL_ROWS = 2**20  # by Excel's own format
EXACT_BELOW = 10**15  # Excel keeps 15 digits of a number
SEPARATORS = ",;\t|"
SNIFFED_ROWS = 20
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


def read_rows(path: str | os.PathLike) -> Iterator[Row]:
    """All rows of a table, the header first; the log names what had to be found out: encoding, separator, sheet.

    Raises TableError for a table that cannot be read.
    """
    content = _content(path)
    if content.startswith(OLD_EXCEL):
        raise TableError(f"{path}: cannot be read, as Excel wrote it before 2007; save it as .xlsx or UTF-8 CSV")
    excel = content.startswith(ZIP) or Path(path).suffix.lower() in EXCEL_SUFFIXES
    return _excel_rows(content, path) if excel else _text_rows(content, path)


def read_header(path: str | os.PathLike) -> list[str]:
    """Names of a table's columns, without blanks around them. Raises TableError."""
    _, header = next(read_rows(path), (0, []))
    return [name.strip() for name in header]


def digest(path: str | os.PathLike) -> str:
    """Hex digest of a table's bytes. Raises TableError."""
    return hashlib.blake2b(_content(path), digest_size=16).hexdigest()


def read_lines(path: str | os.PathLike) -> list[str]:
    """Lines of a text file in whatever encoding. Raises TableError."""
    return _decoded(_content(path), path).splitlines()


def _content(path: str | os.PathLike) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise TableError(f"{path}: cannot be read as a table ({error}); correct its path or its permissions") from error


def _text_rows(content: bytes, path: str | os.PathLike) -> Iterator[Row]:
    text = _decoded(content, path)
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
    text = None
    try:
        text = content.decode(marked or "utf-8")
    except UnicodeDecodeError as error:
        if marked is not None:
            detail = f"its mark says {marked}, and it is not ({error.reason}); save it as UTF-8 CSV"
            raise TableError(f"{path}: {detail}") from error
    if text is None or (marked is None and content.count(0) > len(content) / 4):  # as in UTF-16 without a mark
        encoding, text = _likely_text(content)
        log.warning("%s: is not UTF-8; read as %s, so look at its accents", path, encoding)
    if text is None or "\0" in text:
        raise TableError(f"{path}: is text of no known encoding; save it as UTF-8 CSV")
    return text


def _likely_text(content: bytes) -> tuple[str | None, str | None]:
    """Encoding and text by charset-normalizer; Western European where it is as likely: few accents tell too little."""
    from charset_normalizer import from_bytes  # only where it is needed

    found = list(from_bytes(content))
    western = next((match for match in found if "cp1252" in match.could_be_from_charset), None)
    if western is not None and western.chaos <= found[0].chaos:
        return "cp1252", str(western)
    return (found[0].encoding, str(found[0])) if found else (None, None)


def _separator(text: str, path: str | os.PathLike) -> str:
    """The one that parts the header and cuts the first rows into as many cells; of several, the file's name decides."""
    usual = "\t" if Path(path).suffix.lower() == ".tsv" else ","
    widths = {separator: _widths(text, separator) for separator in usual + SEPARATORS}  # the usual one comes first
    parted = {separator: cut for separator, cut in widths.items() if cut[0] > 1}
    even = {separator: cut for separator, cut in parted.items() if len(set(cut)) == 1}
    if not parted or (not even and usual in parted):
        return usual
    found = max(even or parted, key=lambda separator: widths[separator][0])
    if found == usual:
        return usual
    log.warning("%s: its columns are parted by %r", path, found)
    return found


def _widths(text: str, separator: str) -> list[int]:
    """Numbers of cells in the first rows that are not empty; a 0 where a quote is not closed."""
    csv.field_size_limit(LONGEST_CELL)
    widths: list[int] = []
    try:
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        widths += islice((len(row) for row in rows if any(row)), SNIFFED_ROWS)
    except csv.Error:
        widths.append(0)
    return widths or [0]


def _excel_rows(content: bytes, path: str | os.PathLike) -> Iterator[Row]:
    try:
        with ZipFile(io.BytesIO(content)) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > LARGEST_EXCEL_BYTES:
            raise TableError(f"{path}: unpacks to {size / 2**30:.1f} GiB, more than any sheet; save it as UTF-8 CSV")
        yield from _sheet_rows(content, path)
    except UNREADABLE as error:
        shown = " ".join(repr(str(error))[1:-1].split())
        raise TableError(f"{path}: cannot be read as Excel ({shown}); save it as UTF-8 CSV") from error


def _sheet_rows(content: bytes, path: str | os.PathLike) -> Iterator[Row]:
    """Rows of the first sheet that is not hidden, as long as the first one, or longer where they hold more."""
    values, formulas = _visible_sheet(content, path, values=True), _visible_sheet(content, path, values=False)
    cells = width = 0
    for line, (row, written) in enumerate(zip(values.iter_rows(), formulas.iter_rows(), strict=True), 1):
        cells += len(row)
        if cells > MOST_EXCEL_CELLS or line > MOST_EXCEL_ROWS:
            raise TableError(f"{path}: line {line}: has more cells than a table; save what is needed as UTF-8 CSV")
        texts = [_excel_text(cell.value) for cell in row]
        bare = next(
            (cell for cell, text in zip(written, texts, strict=True) if not text and cell.data_type == "f"), None
        )
        if bare is not None:
            raise TableError(
                f"{path}: line {line}: {bare.coordinate} is a formula without a result; open and save it in Excel"
            )
        while texts and not texts[-1]:
            texts.pop()
        width = width or len(texts)
        yield line, texts + [""] * (width - len(texts))


def _visible_sheet(content: bytes, path: str | os.PathLike, values: bool) -> Any:
    """The first sheet that is not hidden, with the values or the formulas of its cells."""
    import openpyxl  # only where it is needed

    book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=values)
    visible = [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"]
    if not visible:
        raise TableError(f"{path}: has no visible sheet; save the right one as UTF-8 CSV")
    if len(book.sheetnames) > 1 and values:
        others = ", ".join(name for name in book.sheetnames if name != visible[0].title)
        log.warning("%s: the sheet %r is read, and not %s", path, visible[0].title, others)
    visible[0].reset_dimensions()  # which some programs write wrongly, and what lies beyond would be cut off
    return visible[0]


def _excel_text(value: Any) -> str:
    """A cell as it would stand in a CSV; an error, such as #N/A, as its name."""
    if value is None:
        return ""
    if isinstance(value, int | float) and abs(value) >= EXACT_BELOW:
        return f"{value:.14E}"  # the other digits are lost: no name is like this
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date().isoformat()
    return value.isoformat() if isinstance(value, (datetime.date, datetime.datetime)) else str(value)
