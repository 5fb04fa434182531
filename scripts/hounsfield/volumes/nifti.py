"""NIfTI-1 and -2, in one file or as .hdr and .img, gzipped or not."""

import gzip
import logging
import math
from pathlib import Path

import nibabel
import numpy as np
from isal import igzip, isal_zlib
from nibabel.quaternions import quat2mat
from nibabel.spatialimages import HeaderDataError

from hounsfield.volumes.assemble import assemble
from hounsfield.volumes.geometry import is_blank, is_sound, lps_of_spacing
from hounsfield.volumes.hu import Rescale
from hounsfield.volumes.limits import TRAILING_BYTES, check_size, check_surplus
from hounsfield.volumes.signatures import foreign
from hounsfield.volumes.volume import Volume, VolumeError

log = logging.getLogger(__name__)

GZIP_MAGIC = b"\x1f\x8b"
HEADER_BYTES = 1024
DEFLATE_RATIO = 1032  # the most that a byte of gzip unpacks to
MM_OF_UNIT = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}  # unknown, metre, mm, micron
SPACE_UNITS = 7  # the bits of xyzt_units that tell of space; the rest tell of time
LONG_QUATERNION = 1e-3  # how far rounding may lengthen one
ALONE = (b"n+1", b"n+2")
PAIRED = (b"ni1", b"ni2")
PAIR_SUFFIXES = {".hdr": ".img", ".hdr.gz": ".img.gz"}


def read_nifti(path: Path, hu: str, rescale: Rescale | None, spacing: tuple | None) -> Volume:
    """Read all of the file, its checksum included; of a pair, either may be named. Raises VolumeError.

    The header comes first: what it promises bounds what is unpacked.
    """
    path = header_path(path)
    start = _unpacked(path, HEADER_BYTES, whole=False)
    if not start:
        raise VolumeError("empty", "the file has no bytes; fetch it again", path)
    header = _header(start, path)
    voxels = _voxels_path(header, path)
    dtype, shape, offset = _layout(header, start if voxels == path else b"", path)
    needed = offset + math.prod(shape) * dtype.itemsize
    check_size(needed, path)
    size = voxels.stat().st_size
    content = _unpacked(voxels, needed, whole=True) if size * DEFLATE_RATIO >= needed else b""
    if len(content) < needed:
        raise VolumeError("truncated", f"{size} bytes do not hold the {needed} of the header; fetch it again", voxels)
    raw = np.frombuffer(content, dtype, math.prod(shape), offset).reshape(shape, order="F")
    affine_ras = _affine(header, spacing, path)
    return assemble(raw, affine_ras, _rescale(header, path), hu, rescale, spacing, path)


def header_path(path: Path) -> Path:
    """The .hdr of an .img that has one beside it; any other path as it is."""
    return _partner(path, {image: header for header, image in PAIR_SUFFIXES.items()}) or path


def image_path(path: Path) -> Path | None:
    """The .img beside a .hdr, None if there is none."""
    return _partner(path, PAIR_SUFFIXES)


def _partner(path: Path, suffixes: dict[str, str]) -> Path | None:
    """The file beside `path` with the other suffix, in the case of its own or compressed otherwise than it."""
    own = next((suffix for suffix in suffixes if path.name.lower().endswith(suffix)), None)
    if own is None:
        return None
    stem, written = path.name[: -len(own)], path.name[-len(own) :]
    others = sorted(suffixes.values(), key=lambda suffix: suffix != suffixes[own])
    names = [stem + (suffix.upper() if written.isupper() else suffix) for suffix in others]
    return next((path.with_name(name) for name in names if path.with_name(name).is_file()), None)


def _unpacked(path: Path, size: int, whole: bool) -> bytes:
    """The first `size` bytes at most; `whole`: also read the rest to its end, whose checksum is compared."""
    with open(path, "rb") as file:
        packed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    with (igzip.open if packed else open)(path, "rb") as file:
        try:
            content = file.read(size)
            surplus = len(file.read(TRAILING_BYTES)) if whole else 0
        except EOFError as error:
            raise VolumeError("truncated", "the gzip stream ends early; fetch it again", path) from error
        except (gzip.BadGzipFile, isal_zlib.error) as error:  # type: ignore[misc]
            text = str(error)
            reason = "bad_checksum" if "CRC" in text or "length" in text.lower() else "damaged"
            raise VolumeError(reason, f"the gzip stream is damaged ({text}); fetch it again", path) from error
    check_surplus(surplus, path)
    return content


def _header(content: bytes, path: Path) -> nibabel.Nifti1Header:
    sizes = {int.from_bytes(content[:4], order) for order in ("little", "big")}
    kinds = {348: nibabel.Nifti1Header, 540: nibabel.Nifti2Header}
    size = next((size for size in kinds if size in sizes), None)
    if size is None:
        what = foreign(content)
        if what is None and path.name.lower().endswith(tuple(PAIR_SUFFIXES.values())):
            raise VolumeError("incomplete_pair", "an .img without its .hdr; put both in one folder", path)
        raise VolumeError("not_an_image", f"it is {what}" if what else "it is no NIfTI; give a CT volume", path)
    if len(content) < size:
        raise VolumeError("truncated", "the file ends within its header; fetch it again", path)
    try:
        header = kinds[size](content[:size], check=False)
    except (HeaderDataError, ValueError) as error:
        raise VolumeError("damaged", f"the header cannot be read ({error})", path) from error
    if bytes(header["magic"])[:3] not in (*ALONE, *PAIRED):
        detail = "an Analyze header, which does not tell left from right, or a damaged one; write it as NIfTI"
        raise VolumeError("not_an_image", detail, path)
    return header


def _voxels_path(header: nibabel.Nifti1Header, path: Path) -> Path:
    """The file that the header's magic word says to hold the voxels. Raises VolumeError if it is not there."""
    if bytes(header["magic"])[:3] in ALONE:
        return path
    image = image_path(path)
    if image is None:
        detail = "its header says that an .img beside an .hdr holds the voxels; put both in one folder"
        raise VolumeError("incomplete_pair", detail, path)
    return image


def _layout(header: nibabel.Nifti1Header, start: bytes, path: Path) -> tuple[np.dtype, tuple[int, int, int], int]:
    """Type and shape (i, j, k) of the voxels, and the byte where they begin.

    start: the beginning of the file that holds them after their header, empty if they have a file of their own.
    """
    try:
        dtype, shape = header.get_data_dtype(), tuple(int(n) for n in header.get_data_shape())
    except (HeaderDataError, ValueError) as error:
        raise VolumeError("damaged", f"the header has no known data type ({error})", path) from error
    if dtype.fields or np.issubdtype(dtype, np.complexfloating):
        raise VolumeError("rgb", "the voxels are colours or complex numbers, so this is no CT", path)
    if math.prod(shape[3:]) != 1:
        raise VolumeError("several_frames", f"the image has {shape[3:]} frames; write one file for each", path)
    i, j, k = (*shape, 1, 1)[:3] if len(shape) < 3 else shape[:3]
    shape = i, j, k
    if min(shape) < 1:
        raise VolumeError("empty", f"the header gives the shape {shape}", path)
    if min(shape) == 1:
        raise VolumeError("one_slice", f"the shape is {shape}: a picture, and no volume", path)
    return dtype, (i, j, k), _offset(header, start, path)


def _offset(header: nibabel.Nifti1Header, start: bytes, path: Path) -> int:
    """The byte where the voxels begin: after the header, and extensions of any length."""
    told, size = float(header["vox_offset"]), header.sizeof_hdr
    if not told.is_integer() or told < 0:
        raise VolumeError("damaged", f"the header says that the voxels begin at byte {told:g}; fetch it again", path)
    if not start:
        return int(told)
    if told == 0 and any(start[size : size + 1]):
        detail = "the header has extensions, and does not say where the voxels begin; write it again"
        raise VolumeError("damaged", detail, path)
    offset = int(told) or size + 4
    if offset < size:
        raise VolumeError("damaged", f"the header says that the voxels begin at byte {offset}, within itself", path)
    return offset


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
    forms = [form for form in (header.get_sform(coded=True)[0], _qform(header, path)) if form is not None]
    told = [form for form in forms if not is_blank(form)]
    if not told and spacing is not None:
        return lps_of_spacing(spacing)
    if not forms:
        raise VolumeError("no_geometry", "neither sform nor qform is set; give the spacing in a table", path)
    unit = int(header["xyzt_units"]) & SPACE_UNITS
    if unit not in MM_OF_UNIT:
        raise VolumeError("no_geometry", f"the header gives lengths in the unknown unit {unit}; write it in mm", path)
    to_mm = np.diag([MM_OF_UNIT[unit]] * 3 + [1.0])
    affines = [to_mm @ np.nan_to_num(form, nan=np.nan, posinf=np.nan, neginf=np.nan) for form in (told or forms)]
    return next((affine for affine in affines if is_sound(affine)), affines[0])


def _qform(header: nibabel.Nifti1Header, path: Path) -> np.ndarray | None:
    """RAS+ of the quaternion and pixdim, as the C library and nibabel's checks mend them; None if it tells nothing."""
    pixdim = np.array(header["pixdim"][:4], float)
    vector = np.array([header["quatern_b"], header["quatern_c"], header["quatern_d"]], float)
    length = float(vector @ vector)
    if header["qform_code"] == 0 or not np.isfinite(pixdim).all() or not length <= 1 + LONG_QUATERNION:
        return None
    if (pixdim[1:] < 0).any():
        log.warning("%s: negative voxel sizes in pixdim; their absolute values are taken", path)
    affine = np.eye(4)
    steps = np.abs(pixdim[1:]) * (1, 1, -1 if pixdim[0] < 0 else 1)
    affine[:3, :3] = quat2mat([math.sqrt(max(0.0, 1 - length)), *vector]) * steps
    affine[:3, 3] = header["qoffset_x"], header["qoffset_y"], header["qoffset_z"]
    return affine
