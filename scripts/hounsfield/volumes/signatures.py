"""What a file is, by its first bytes: for readers, and for messages about files that none of them reads."""

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

DICOM_MAGIC = b"DICM"
PREAMBLE_BYTES = 128
INDEX = "DICOMDIR"  # of a disc, and no slice
START_BYTES = 512
# Data elements of the groups that a file without preamble begins with, in either byte order.
BARE_STARTS = (b"\x02\x00", b"\x08\x00", b"\x00\x02", b"\x00\x08")
SLICE_SUFFIXES = (".dcm", ".dicom", ".ima")
# Archives hold these beside the slices.
OTHER_SUFFIXES: tuple[str, ...] = (
    ".csv",
    ".db",
    ".gif",
    ".htm",
    ".html",
    ".inf",
    ".ini",
    ".jpeg",
    ".jpg",
    ".json",
    ".log",
    ".md",
)
OTHER_SUFFIXES += (".nii", ".nrrd", ".pdf", ".png", ".tsv", ".txt", ".xml", ".yaml", ".zip")

# How a file begins in lower case, what it is, and what to do.
STAND_INS = (  # for the file that should be there
    (b"version https://git-lfs", "a git-lfs pointer, and not the data; run git lfs pull"),
    (b"/annex/objects/", "a git-annex pointer, and not the data; run git annex get"),
    (b"<!doctype html", "a web page, perhaps of a failed download; fetch it again"),
    (b"<html", "a web page, perhaps of a failed download; fetch it again"),
    (b"<", "a web page or XML, perhaps of a failed download; fetch it again"),
    (b"{", "JSON, perhaps the message of a failed download; fetch it again"),
)
OTHER_KINDS = (
    (b"%pdf", "a PDF; give the images"),
    (b"\x89png", "a PNG picture; give the series in HU"),
    (b"\xff\xd8\xff", "a JPEG picture; give the series in HU"),
    (b"gif8", "a GIF picture; give the series in HU"),
    (b"\x89hdf", "HDF5; write it as NIfTI"),
    (b"7z\xbc\xaf", "a 7z archive; unpack it, and give what it holds"),
    (b"rar!", "a RAR archive; unpack it, and give what it holds"),
    (b"bzh", "a bzip2 archive; unpack it, and give what it holds"),
    (b"\xfd7zxz", "an xz archive; unpack it, and give what it holds"),
    (b"\x28\xb5\x2f\xfd", "a zstandard archive; unpack it, and give what it holds"),
)


def start_of(path: str | os.PathLike) -> bytes:
    """The first START_BYTES. Raises OSError."""
    with open(path, "rb") as file:
        return file.read(START_BYTES)


def has_dicom_magic(start: bytes) -> bool:
    """Whether a file's `start` has the preamble of a DICOM file."""
    return start[PREAMBLE_BYTES : PREAMBLE_BYTES + len(DICOM_MAGIC)] == DICOM_MAGIC


def is_bare_dataset(start: bytes) -> bool:
    """Whether `start` is that of a DICOM data set without preamble and file meta, as old archives hold them.

    Its first element is of a low group, and its number and length are small: text and pictures have neither.
    """
    if start[:2] not in BARE_STARTS or len(start) < 12:
        return False
    order: Literal["little", "big"] = "little" if start[1] == 0 else "big"
    element = int.from_bytes(start[2:4], order)
    explicit = start[4:6].isalpha() and start[4:6].isupper()
    length = int.from_bytes(start[6:8] if explicit else start[4:8], order)
    return element < 0x1200 and (length < 0x400 or start[4:6] in (b"SQ", b"UN", b"OB", b"UT"))


def is_named_as_slice(path: str | os.PathLike) -> bool:
    """Whether a file has the suffix that slices have, or none; names are often UIDs, such as 1.2.840.10008."""
    suffix = os.path.splitext(path)[1].lower()
    return suffix in ("", *SLICE_SUFFIXES) or suffix[1:].isdigit()


def is_slice(path: str | os.PathLike) -> bool:
    """Whether a file is a DICOM slice, by its name or, where that leaves it open, by its first bytes."""
    suffix = os.path.splitext(path)[1].lower()
    if suffix in SLICE_SUFFIXES:
        return True
    if suffix in OTHER_SUFFIXES or os.path.basename(path).upper() == INDEX or not os.path.isfile(path):
        return False
    try:
        start = start_of(path)
    except OSError:
        return is_named_as_slice(path)  # reading it will say why
    return has_dicom_magic(start) or is_bare_dataset(start) or is_cut_slice(path, start)


def is_cut_slice(path: str | os.PathLike, start: bytes) -> bool:
    """Whether a file is as an interrupted copy leaves a slice: zeros, up to where its preamble would end."""
    return bool(start) and not any(start[: PREAMBLE_BYTES + len(DICOM_MAGIC)]) and is_named_as_slice(path)


def files_below(folder: str | os.PathLike) -> list[Path]:
    """All files of a folder and of those below it, which are no links. Raises OSError."""

    def fail(error: OSError) -> None:
        raise error

    return sorted(Path(top, name) for top, _, names in os.walk(os.fspath(folder), onerror=fail) for name in names)


def slice_files(folder: str | os.PathLike, below: Sequence[Path] | None = None) -> list[Path]:
    """Files among which a volume's slices are: those of the folder itself, or of all below where it holds no slice.

    below: `files_below(folder)`, where that is known.
    """
    below = files_below(folder) if below is None else list(below)
    own = [file for file in below if file.parent == Path(folder)]
    return own if any(map(is_slice, own)) else below


def stand_in(start: bytes) -> str | None:
    """What lies in the place of the file that should be there, and what to do; None if its `start` does not tell."""
    return _told(start, STAND_INS)


def foreign(start: bytes) -> str | None:
    """What a file that is no volume is, and what to do; None if its `start` does not tell."""
    if start[257:262] == b"ustar":
        return "a tar archive; unpack it, and give what it holds"
    return _told(start, (*STAND_INS, *OTHER_KINDS))


def _told(start: bytes, kinds: tuple[tuple[bytes, str], ...]) -> str | None:
    begin = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return next((what for magic, what in kinds if begin.startswith(magic)), None)


def zip_content(path: str | os.PathLike) -> str:
    """What a zip archive without arrays is, and what to do. Raises OSError, or BadZipFile if it is cut."""
    with zipfile.ZipFile(path) as content:
        names = [member.filename for member in content.infolist() if not member.is_dir()]
    if not names:
        return "an empty zip archive; fetch it again"
    return f"a zip archive of {len(names)} files ({names[0]!r} first); unpack it, and give the folder"
