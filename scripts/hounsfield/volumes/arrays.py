"""Volumes in numpy archives (RAD-ChestCT), NRRD and MetaImage."""

import io
import math
import re
import zipfile
import zlib
from pathlib import Path

import numpy as np
import SimpleITK
from isal import isal_zlib

from hounsfield.volumes.assemble import assemble
from hounsfield.volumes.geometry import is_blank, lps_of_spacing
from hounsfield.volumes.hu import Rescale
from hounsfield.volumes.limits import check_size, check_surplus
from hounsfield.volumes.signatures import zip_content
from hounsfield.volumes.volume import Volume, VolumeError

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
PLAIN = (1.0, 0.0)
HEADER_BYTES = 64 * 1024
DATA_FIELDS = ("data file", "datafile", "elementdatafile")
SPACING_FIELDS = ("elementspacing", "elementsize", "space directions", "spacings")
PIECE_BYTES = 64 * 1024
GZIP, ZLIB = 31, 15  # window bits of the two wrappings


def read_npz(path: Path, hu: str, rescale: Rescale | None, spacing: tuple | None) -> Volume:
    """The array `ct` (or the only one) of an archive, axes to inferior, posterior and left as RAD-ChestCT's.

    `spacing` is in mm, (z, y, x), as the file holds none. Raises VolumeError.
    """
    raw = _array(path)
    _check_shape(raw, path)
    if spacing is None:
        raise VolumeError("no_geometry", "a numpy archive holds no spacing; give it in a table", path)
    dz, dy, dx = spacing
    # Columns are the steps of the array's axes in LPS+ mm: down, back, left.
    toward = np.eye(4)
    toward[:3, :3] = np.array([[0, 0, dx], [0, dy, 0], [-dz, 0, 0]])
    return assemble(raw, LPS_TO_RAS @ toward, PLAIN, hu, rescale, spacing, path)


def read_itk(path: Path, hu: str, rescale: Rescale | None, spacing: tuple | None) -> Volume:
    """NRRD and MetaImage; `spacing` (z, y, x) stands in where they hold none.

    Raises VolumeError, also for a file shorter than its header says, or with a wrong checksum.
    """
    fields, end = _fields(path)
    held = _bytes_held(fields, end, path)
    told = _tells_spacing(fields, path)
    if not told and spacing is None:
        raise VolumeError("no_geometry", "its header holds no spacing; give it in a table", path)
    try:
        reader = SimpleITK.ImageFileReader()
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        check_size(math.prod(reader.GetSize()) * reader.GetNumberOfComponents(), path)
        image = reader.Execute()
    except RuntimeError as error:
        short = str(error).strip().splitlines()[-1][:160]
        raise VolumeError("damaged", f"cannot be read ({short}); fetch it again", path) from error
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise VolumeError("rgb", "the voxels have several components, so this is no CT", path)
    if image.GetDimension() != 3:
        raise VolumeError("several_frames", f"the image has {image.GetDimension()} dimensions, not 3", path)
    raw = SimpleITK.GetArrayFromImage(image).T  # (x, y, z) of the file's own axes
    check_surplus(0 if held is None else held - raw.nbytes, path)
    _check_shape(raw, path)
    affine = np.eye(4)
    steps = image.GetSpacing() if spacing is None or told else spacing[::-1]
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * steps
    affine[:3, 3] = image.GetOrigin()
    if is_blank(affine) and spacing is not None:
        affine = LPS_TO_RAS @ lps_of_spacing(spacing)
    return assemble(raw, LPS_TO_RAS @ affine, PLAIN, hu, rescale, spacing, path)


def _array(path: Path) -> np.ndarray:
    try:
        # The whole member is read, so that its checksum is compared.
        with zipfile.ZipFile(path) as archive:
            members = {name.removesuffix(".npy"): name for name in archive.namelist() if name.endswith(".npy")}
            name = "ct" if "ct" in members else next(iter(members)) if len(members) == 1 else None
            check_size(archive.getinfo(members[name]).file_size if name is not None else 0, path)
            content = archive.read(members[name]) if name is not None else b""
    except (zipfile.BadZipFile, EOFError, zlib.error) as error:
        reason = "bad_checksum" if "CRC" in str(error) else "truncated"
        raise VolumeError(reason, f"the archive is damaged ({error}); fetch it again", path) from error
    if name is None and not members:
        raise VolumeError("archive", f"it is {zip_content(path)}", path)
    if name is None:
        raise VolumeError("not_an_image", f"no array named ct in the archive ({', '.join(members)})", path)
    try:
        return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    except ValueError as error:
        raise VolumeError("damaged", f"its array cannot be read ({error})", path) from error


def _check_shape(raw: np.ndarray, path: Path) -> None:
    if raw.ndim != 3 or not np.issubdtype(raw.dtype, np.number):
        raise VolumeError("several_frames", f"the array has the shape {raw.shape}, type {raw.dtype}", path)
    if min(raw.shape) < 2:
        raise VolumeError("one_slice", f"the shape is {raw.shape}: a picture, and no volume", path)


def _tells_spacing(fields: dict[str, str], path: Path) -> bool:
    """Whether a header tells of the voxels' size, in mm; where it does not, ITK takes 1 mm without a word."""
    units = set(fields.get("space units", fields.get("units", "")).replace('"', " ").split()) - {
        "",
        "mm",
        "none",
        "???",
    }
    if units:
        raise VolumeError("no_geometry", f"its lengths are in {' '.join(sorted(units))}; write it in mm", path)
    given = next((fields[name] for name in SPACING_FIELDS if fields.get(name)), "")
    vectors = "space directions" in fields
    numbers = [_number(text) for text in (re.split(r"[\s(),]+", given.strip(" ()")) if vectors else given.split())]
    if not vectors and any(number <= 0 for number in numbers):
        raise VolumeError("no_geometry", f"its header gives the spacing {given}; correct it", path)
    return bool(numbers) and bool(np.isfinite(numbers).all())


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _bytes_held(fields: dict[str, str], end: int, path: Path) -> int | None:
    """Bytes of voxels in the file, unpacked once by ourselves, as ITK compares neither checksum nor length.

    None where the header says to leave out some of them.
    """
    detached = _data_file(fields, path)
    file, start = detached or path, 0 if detached else end
    encoding = fields.get("encoding", "raw").lower()
    kind = GZIP if encoding in ("gzip", "gz") else ZLIB if fields.get("compresseddata", "").lower() == "true" else None
    skipped = any(fields.get(name, "0") != "0" for name in ("headersize", "byte skip", "line skip"))
    if kind is None and (skipped or encoding != "raw"):
        return None
    if kind is None:
        return file.stat().st_size - start
    try:
        return _unpack(file, start, kind)
    except (EOFError, isal_zlib.error) as error:  # type: ignore[misc]
        said = str(error).lower()
        wrong = "crc" in said or "checksum" in said
        reason = "bad_checksum" if wrong else "truncated" if isinstance(error, EOFError) else "damaged"
        raise VolumeError(reason, f"the compressed voxels are damaged ({error}); fetch it again", file) from error


def data_files(path: Path) -> list[Path]:
    """The file beside a NRRD or MetaImage header that it names for its voxels. Raises VolumeError, OSError."""
    named = _data_file(_fields(path)[0], path)
    return [] if named is None else [named]


def _data_file(fields: dict[str, str], path: Path) -> Path | None:
    """The one file of voxels beside the header; None if they follow the header.

    A header comes from a stranger: what it names elsewhere, a pipe or a device is not opened. Raises VolumeError.
    """
    given = {fields[name] for name in DATA_FIELDS if name in fields} or {"LOCAL"}
    if len(given) > 1:
        raise VolumeError("damaged", f"its header names two files of voxels ({', '.join(sorted(given))[:80]})", path)
    named = given.pop()
    if named.upper() == "LOCAL":
        return None
    if named.upper().startswith("LIST") or "%" in named:
        detail = f"its voxels lie in several files ({named[:60]}); write them as one"
        raise VolumeError("several_files", detail, path)
    file = path.parent / named
    if Path(named).name != named:
        raise VolumeError("elsewhere", f"its voxels lie in {named[:200]!r}; put that file beside the header", path)
    if not file.exists():
        raise VolumeError("missing_data", f"there is no {named} beside it; put both in one folder", path)
    if not file.is_file():
        raise VolumeError("not_a_file", f"{named} is a pipe, a socket or a device; fetch it again", path)
    return file


def _unpack(path: Path, start: int, kind: int) -> int:
    """Bytes that unpack from byte `start`, in small pieces, which are forgotten."""
    stream, size = isal_zlib.decompressobj(kind), 0
    with open(path, "rb") as file:
        file.seek(start)
        while not stream.eof:
            piece = file.read(PIECE_BYTES)
            if not piece:
                raise EOFError("the stream ends early")
            size += len(stream.decompress(piece))
            check_size(size, path)
    return size


def _fields(path: Path) -> tuple[dict[str, str], int]:
    """The header's fields, their names in lower case, and the byte where attached voxels begin."""
    with open(path, "rb") as file:
        start = file.read(HEADER_BYTES)
    nrrd = start.startswith(b"NRRD")
    fields, end = {}, 0
    for line in start.splitlines(keepends=True):
        end += len(line)
        name, _, value = line.decode("latin-1").partition(":" if nrrd else "=")
        fields[name.strip().lower()] = value.strip()
        if (nrrd and not line.strip()) or name.strip() == "ElementDataFile":
            break
    return fields, end
