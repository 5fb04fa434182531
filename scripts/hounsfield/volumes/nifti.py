"""NIfTI-1 and -2, in one file, gzipped or not."""

import gzip
import io
import math
from pathlib import Path

import nibabel
import numpy as np
from isal import igzip, isal_zlib
from nibabel.spatialimages import HeaderDataError

from hounsfield.volumes.assemble import assemble
from hounsfield.volumes.geometry import is_blank, lps_of_spacing
from hounsfield.volumes.hu import Rescale
from hounsfield.volumes.limits import check_size
from hounsfield.volumes.volume import Volume, VolumeError

GZIP_MAGIC = b"\x1f\x8b"
HEADER_BYTES = 1024
DEFLATE_RATIO = 1032  # the most that a byte of gzip unpacks to
TRAILING_BYTES = 2**20  # more than this after the voxels is no padding
MM_OF_UNIT = {"meter": 1000.0, "mm": 1.0, "micron": 0.001, "unknown": 1.0}


def read_nifti(path: Path, hu: str, rescale: Rescale | None, spacing: tuple | None) -> Volume:
    """Read all of the file, its checksum included. Raises VolumeError.

    The header comes first: what it promises bounds what is unpacked.
    """
    with open(path, "rb") as file:
        packed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    start = _unpacked(path, packed, HEADER_BYTES, whole=False)
    if not start:
        raise VolumeError("empty", "the file has no bytes; fetch it again", path)
    header = _header(start, path)
    dtype, shape, offset = _layout(header, path)
    needed = offset + math.prod(shape) * dtype.itemsize
    check_size(needed, path)
    size = path.stat().st_size
    content = _unpacked(path, packed, needed, whole=True) if size * DEFLATE_RATIO >= needed else b""
    if len(content) < needed:
        raise VolumeError("truncated", f"{size} bytes do not hold the {needed} of the header; fetch it again", path)
    raw = np.frombuffer(content, dtype, math.prod(shape), offset).reshape(shape, order="F")
    affine_ras = _affine(header, spacing, path)
    return assemble(raw, affine_ras, _rescale(header, path), hu, rescale, spacing, path)


def _unpacked(path: Path, packed: bool, size: int, whole: bool) -> bytes:
    """The first `size` bytes at most; `whole`: also read the rest to its end, whose checksum is compared."""
    with (igzip.open if packed else open)(path, "rb") as file:
        try:
            content = file.read(size)
            if whole and packed and len(file.read(TRAILING_BYTES)) == TRAILING_BYTES:
                raise VolumeError("damaged", "it unpacks to much more than its header tells of; fetch it again", path)
        except EOFError as error:
            raise VolumeError("truncated", "the gzip stream ends early; fetch it again", path) from error
        except (gzip.BadGzipFile, isal_zlib.error) as error:
            text = str(error)
            reason = "bad_checksum" if "CRC" in text or "length" in text.lower() else "damaged"
            raise VolumeError(reason, f"the gzip stream is damaged ({text}); fetch it again", path) from error
    return content


def _header(content: bytes, path: Path) -> nibabel.Nifti1Header:
    start = content[:4]
    if content.lstrip()[:1] == b"<":
        raise VolumeError(
            "not_an_image", "the file is a web page or XML, perhaps a failed download; fetch it again", path
        )
    sizes = {int.from_bytes(start, order) for order in ("little", "big")}
    kinds = {348: nibabel.Nifti1Header, 540: nibabel.Nifti2Header}
    size = next((size for size in kinds if size in sizes), None)
    if size is None:
        raise VolumeError("not_an_image", "the file is no NIfTI", path)
    if len(content) < size + 4:
        raise VolumeError("truncated", "the file ends within its header; fetch it again", path)
    try:
        return kinds[size].from_fileobj(io.BytesIO(content), check=False)
    except (HeaderDataError, ValueError) as error:
        raise VolumeError("damaged", f"the header cannot be read ({error})", path) from error


def _layout(header: nibabel.Nifti1Header, path: Path) -> tuple[np.dtype, tuple[int, int, int], int]:
    """Type and shape (i, j, k) of the voxels, and the byte where they begin."""
    try:
        dtype, shape = header.get_data_dtype(), tuple(int(n) for n in header.get_data_shape())
    except (HeaderDataError, ValueError) as error:
        raise VolumeError("damaged", f"the header has no known data type ({error})", path) from error
    if dtype.fields or np.issubdtype(dtype, np.complexfloating):
        raise VolumeError("rgb", "the voxels are colours or complex numbers, so this is no CT", path)
    if math.prod(shape[3:]) != 1:
        raise VolumeError("several_frames", f"the image has {shape[3:]} frames; write one file for each", path)
    shape = (*shape, 1, 1)[:3] if len(shape) < 3 else shape[:3]
    if min(shape) < 1:
        raise VolumeError("empty", f"the header gives the shape {shape}", path)
    if min(shape) == 1:
        raise VolumeError("one_slice", f"the shape is {shape}: a picture, and no volume", path)
    offset = int(header["vox_offset"]) or header.sizeof_hdr + 4
    if offset < header.sizeof_hdr:
        raise VolumeError("damaged", f"the header says that the voxels begin at byte {offset}, within itself", path)
    return dtype, shape, offset


def _rescale(header: nibabel.Nifti1Header, path: Path) -> Rescale:
    try:
        slope, intercept = header.get_slope_inter()
    except HeaderDataError as error:
        raise VolumeError("damaged", f"the header's rescale is impossible ({error}); fetch it again", path) from error
    return (1.0 if slope is None else slope, 0.0 if intercept is None else intercept)


def _affine(header: nibabel.Nifti1Header, spacing: tuple | None, path: Path) -> np.ndarray:
    """RAS+ mm of the first form that tells something: sform, then qform; of pixdim only where the qform needs it.

    `spacing` (z, y, x) stands in where neither does.
    """
    forms = [form for form in (header.get_sform(coded=True)[0], _qform(header)) if form is not None]
    told = [form for form in forms if not is_blank(form)]
    if not told and spacing is not None:
        return lps_of_spacing(spacing)
    if not forms:
        raise VolumeError("no_geometry", "neither sform nor qform is set; give the spacing in a table", path)
    to_mm = np.diag([MM_OF_UNIT[header.get_xyzt_units()[0]]] * 3 + [1.0])
    affines = [to_mm @ form for form in (told or forms)]
    sound = next((affine for affine in affines if _is_sound(affine)), None)
    if sound is None:
        steps = np.linalg.norm(affines[0][:3, :3], axis=0)
        raise VolumeError("no_geometry", f"the affine is degenerate (steps of {steps} mm)", path)
    return sound


def _qform(header: nibabel.Nifti1Header) -> np.ndarray | None:
    try:
        return header.get_qform(coded=True)[0]
    except (HeaderDataError, ValueError):  # an impossible quaternion
        return None


def _is_sound(affine: np.ndarray) -> bool:
    if not np.isfinite(affine).all():
        return False
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    return bool((steps > 0.01).all() and (steps < 100).all() and abs(np.linalg.det(affine[:3, :3] / steps)) > 0.5)
