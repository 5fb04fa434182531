"""DICOM: a folder of slices, or one enhanced multi-frame file."""

import logging
import math
import struct
import zlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    LegacyConvertedEnhancedCTImageStorage,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from hounsfield.volumes.assemble import assemble
from hounsfield.volumes.hu import PADDING_BELOW_HU, Rescale
from hounsfield.volumes.limits import check_deflated, check_size
from hounsfield.volumes.series import Plane, check_one_series, in_order
from hounsfield.volumes.settings import AIR_HU
from hounsfield.volumes.signatures import (
    OTHER_SUFFIXES,
    PREAMBLE_BYTES,
    SLICE_SUFFIXES,
    foreign,
    has_dicom_magic,
    is_bare_dataset,
    is_cut_slice,
    is_named_as_slice,
    is_slice,
    slice_files,
    stand_in,
    start_of,
)
from hounsfield.volumes.volume import Volume, VolumeError

log = logging.getLogger(__name__)

# What pydicom and its decoders raise on bytes that nobody foresaw.
UNREADABLE: tuple[type[BaseException], ...] = (
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RuntimeError,
    ArithmeticError,
)
UNREADABLE += (zlib.error, struct.error, BytesLengthException, InvalidDicomError)
HIGHEST_TISSUE_HU = 3100
STORED_BYTES = 2  # of a pixel
NEEDED = {
    "ImagePositionPatient": ("no_position", "the slice does not say where it lies"),
    "ImageOrientationPatient": ("no_position", "the slice does not say how it lies"),
    "PixelSpacing": ("no_spacing", "the slice has no PixelSpacing"),
}
CT_CLASSES = (CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)
SYNTAX_OF_ENCODING = {
    (True, True): ImplicitVRLittleEndian,
    (False, True): ExplicitVRLittleEndian,
    (False, False): ExplicitVRBigEndian,
}
OVERLAY_GROUPS = range(0x6000, 0x6020, 2)
OVERLAY_BIT_POSITION = 0x0102
OF_ALL_FRAMES = ("SeriesInstanceUID", "FrameOfReferenceUID", "StudyInstanceUID", "PatientID")
# Some writers put these at the top of a multi-frame object; what its functional groups say comes first.
TOP_LEVEL_RESCALE = ("RescaleSlope", "RescaleIntercept", "RescaleType")
FUNCTIONAL_GROUPS = (
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelMeasuresSequence",
    "PixelValueTransformationSequence",
)


def read_dicom(path: Path, hu: str = "auto", rescale: Rescale | None = None) -> Volume:
    """Read the one CT series of a folder, or of a file, slices in order of their place.

    `rescale`, of a table, serves where the slices have none, or where `hu` is `table`. Raises VolumeError.
    """
    planes = _planes(path)
    _check_complete(planes, path)
    check_one_series(planes, path)
    check_size(len(planes) * math.prod(planes[0].shape) * STORED_BYTES, path)
    planes, step = in_order(_without_copies(planes), path)
    first = planes[0]
    affine = np.eye(4)
    # Columns: the steps of z, y and x; the orientation gives the direction along a row (x) first.
    affine[:3, 0] = step
    affine[:3, 1] = first.orientation[3:] * first.pixel_spacing[0]
    affine[:3, 2] = first.orientation[:3] * first.pixel_spacing[1]
    affine[:3, 3] = first.position
    raw, own = _stack(planes, hu, rescale)
    lps_to_ras = np.diag([-1.0, -1.0, 1.0, 1.0])
    if own is None:
        own, hu = (1.0, 0.0), "table"
    return assemble(raw, lps_to_ras @ affine, own, hu, rescale, None, path)


def _planes(path: Path) -> list[Plane]:
    """The planes of all CT images, of all files; localizers, dose screens and other files left out."""
    files = slice_files(path) if path.is_dir() else [path]
    planes: list[Plane] = []
    others: set[str] = set()
    for file in files:
        header = _header(file)
        if header is None or _is_beside_the_point(header):
            continue
        if not _is_ct(header):
            others.add(str(header.get("Modality") or "images without a modality"))
        elif (header.get("SamplesPerPixel") or 1) != 1:
            others.add("colour")
        elif int(header.get("NumberOfFrames") or 1) > 1 or "PerFrameFunctionalGroupsSequence" in header:
            planes += _enhanced(header, file)
        else:
            planes.append(_plane(header, file))
    if not planes:
        reason = "rgb" if others == {"colour"} else "not_ct" if others else "not_an_image"
        found = f"only {', '.join(sorted(others))}" if others else "no DICOM image"
        raise VolumeError(reason, f"{found} in it; give a CT series", path)
    return planes


def _check_complete(planes: list[Plane], path: Path) -> None:
    """Raises VolumeError if slices of a folder's series lie in folders below it, too: they would be left out."""
    if any(plane.path.parent != path for plane in planes):
        return
    series = {plane.series for plane in planes} - {""}
    for folder in sorted(file for file in path.rglob("*") if file.is_dir()):
        if _series_of(folder) in series:
            below = folder.relative_to(path)
            raise VolumeError("several_folders", f"its series goes on in {below}; put all slices in one folder", path)


def _series_of(folder: Path) -> str | None:
    """The series of the first slice in a folder; None if there is none, or it is damaged, as reading it would say."""
    first = next((file for file in sorted(folder.iterdir()) if file.is_file() and is_slice(file)), None)
    try:
        header = None if first is None else _header(first)
    except VolumeError:
        return None
    return None if header is None else str(header.get("SeriesInstanceUID", ""))


def _header(file: Path) -> Dataset | None:
    """All but the pixels of an image; None for what is none. A slice that ends early is an error, never left out."""
    if not file.is_file():
        if is_named_as_slice(file):
            raise VolumeError("not_a_file", "a link to nothing, a pipe or a device among the slices; remove it", file)
        return None
    start = start_of(file)
    known = has_dicom_magic(start)
    if not known and (file.name.startswith(".") or file.suffix.lower() in OTHER_SUFFIXES):
        return None
    cut = VolumeError("truncated", "the slice ends within its header; fetch it again", file)
    if not start or is_cut_slice(file, start):
        raise cut
    if not known and not is_bare_dataset(start):
        _check_no_slice(file, start)
        return None
    check_deflated(file)
    try:
        header = pydicom.dcmread(file, stop_before_pixels=True, force=not known)
    except (OSError, *UNREADABLE) as error:  # type: ignore[misc]
        if known:
            raise cut from error
        return None
    if "Rows" in header and "Columns" in header:
        return header
    kind = _kind(header)
    if kind in CT_CLASSES or (known and not kind):
        raise cut
    return None


def _check_no_slice(file: Path, start: bytes) -> None:
    """Raises VolumeError if a slice has to be expected where a file is no DICOM: at the ends, nothing else tells."""
    what = stand_in(start) if is_named_as_slice(file) else None
    zeros = len(start) > PREAMBLE_BYTES and not any(start[:PREAMBLE_BYTES]) and is_named_as_slice(file)
    if what is None and (zeros or file.suffix.lower() in SLICE_SUFFIXES):
        what = foreign(start) or "no DICOM, but has the name or the beginning of a slice; fetch it again"
    if what is not None:
        raise VolumeError("damaged", f"it is {what}", file)


def _kind(header: Dataset) -> str:
    """Its SOP class; anonymizers empty the one in the data, not that of the file."""
    meta = getattr(header, "file_meta", Dataset())
    return str(meta.get("MediaStorageSOPClassUID") or header.get("SOPClassUID") or "")


def _is_ct(header: Dataset) -> bool:
    """By its modality; by its SOP class where an anonymizer has blanked that."""
    modality = str(header.get("Modality") or "").strip()
    return modality == "CT" or (not modality and _kind(header) in CT_CLASSES)


def _is_beside_the_point(header: Dataset) -> bool:
    image_type = header.get("ImageType") or []
    kinds = [str(kind).upper() for kind in ([image_type] if isinstance(image_type, str) else image_type)]
    has_place = bool(header.get("ImagePositionPatient") or header.get("PerFrameFunctionalGroupsSequence"))
    screen = "SECONDARY" in kinds or _kind(header).startswith(SecondaryCaptureImageStorage)
    return "LOCALIZER" in kinds or "SCREEN SAVE" in kinds or (screen and not has_place)


def _plane(header: Dataset, file: Path, frame: int | None = None) -> Plane:
    for name, (reason, detail) in NEEDED.items():
        if header.get(name) in (None, ""):
            raise VolumeError(reason, f"{detail}; export the series again with {name}", file)
    unit = str(header.get("RescaleType") or "HU").strip().upper()
    if unit not in ("HU", "HU_MOD", "US"):
        raise VolumeError("not_hu", f"its RescaleType is {unit}, not HU; give the series in HU", file)
    numbers = [header.get("RescaleSlope"), header.get("RescaleIntercept")]
    return Plane(
        file,
        frame,
        str(header.get("SeriesInstanceUID", "")),
        f"{header.get('FrameOfReferenceUID') or header.get('StudyInstanceUID')} {header.get('PatientID')}",
        (int(header.Rows), int(header.Columns)),
        np.array(header.ImagePositionPatient, float),
        np.array(header.ImageOrientationPatient, float),
        (float(header.PixelSpacing[0]), float(header.PixelSpacing[1])),
        None if any(number in (None, "") for number in numbers) else (float(numbers[0]), float(numbers[1])),
    )


def _enhanced(header: Dataset, file: Path) -> Iterable[Plane]:
    shared = (header.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    frames = header.get("PerFrameFunctionalGroupsSequence") or []
    if len(frames) != int(header.get("NumberOfFrames") or 1):
        raise VolumeError("no_position", f"{len(frames)} of its {header.get('NumberOfFrames')} frames say where", file)
    for number, own in enumerate(frames):
        flat = Dataset()
        flat.Rows, flat.Columns = header.Rows, header.Columns
        for name in (*OF_ALL_FRAMES, *TOP_LEVEL_RESCALE):
            if header.get(name) not in (None, ""):
                setattr(flat, name, header.get(name))
        for sequence in FUNCTIONAL_GROUPS:
            group = own.get(sequence) or shared.get(sequence)
            if group:
                flat.update(group[0])
        yield _plane(flat, file, number)


def _without_copies(planes: list[Plane]) -> list[Plane]:
    """One plane of those with the same place and pixels; identifiers do not tell, as anonymizers empty them."""
    at_place: dict[tuple, list[Plane]] = defaultdict(list)
    for plane in planes:
        at_place[tuple(plane.position)].append(plane)
    kept: list[Plane] = []
    for same in at_place.values():
        kept.append(same[0])
        if len(same) > 1:
            pixels = [(_pixels(plane, _load(plane.path))[0], plane.rescale) for plane in same]
            kept += [
                plane
                for plane, (values, rescale) in zip(same[1:], pixels[1:], strict=True)
                if rescale != pixels[0][1] or not np.array_equal(values, pixels[0][0])
            ]
    return kept


def _stack(planes: list[Plane], hu: str, table: Rescale | None) -> tuple[np.ndarray, Rescale | None]:
    """Values (z, y, x), and the slope and intercept that they still need: of all slices, or None if only a table's.

    Slices that differ in theirs come as float32 HU, needing (1, 0).
    """
    without = [plane for plane in planes if plane.rescale is None]
    if without:
        if hu == "header" or table is None or len(without) < len(planes):
            detail = (
                f"{len(without)} of {len(planes)} slices have no RescaleSlope or RescaleIntercept; export them again"
            )
            raise VolumeError("no_rescale", detail, without[0].path)
        planes, own = [replace(plane, rescale=table) for plane in planes], None
    else:
        own = planes[0].rescale
    slices: list[np.ndarray] = []
    opened: tuple[Path, Any] | None = None
    overfull = 0
    one_rescale = len({plane.rescale for plane in planes}) == 1
    for plane in planes:
        if opened is None or opened[0] != plane.path:
            opened = plane.path, _load(plane.path)
        stored, is_overfull = _pixels(plane, opened[1])
        overfull += is_overfull
        values = _with_air(stored, opened[1].get("PixelPaddingValue"), plane.rescale)  # type: ignore[arg-type]
        if not one_rescale:
            assert plane.rescale is not None  # those without one were refused
            values = values.astype(np.float32) * np.float32(plane.rescale[0]) + np.float32(plane.rescale[1])
        slices.append(values)
    if overfull:
        told = "%s: %d of %d slices have pixels of more bits than their BitsStored; they are taken as they are"
        log.warning(told, planes[0].path.parent, overfull, len(planes))
    return np.stack(slices), own if one_rescale else (1.0, 0.0)


def _load(file: Path) -> Dataset:
    try:
        dataset = pydicom.dcmread(file, force=True)
        syntax = dataset.file_meta.get("TransferSyntaxUID")
        if not syntax and dataset.get_item("PixelData") is not None and not dataset["PixelData"].is_undefined_length:
            # Without file meta, the parser found out how the data set is encoded; pixels of a known length are plain.
            dataset.file_meta.TransferSyntaxUID = SYNTAX_OF_ENCODING[dataset.original_encoding]  # type: ignore[index]
        return dataset
    except UNREADABLE as error:
        raise VolumeError("truncated", "the slice ends early; fetch it again", file) from error


def _pixels(plane: Plane, dataset: Dataset) -> tuple[np.ndarray, bool]:
    """Stored values (rows, columns), and whether the file has some of more bits than it tells of."""
    if "PixelData" not in dataset:
        raise VolumeError("truncated", "the slice ends before its pixels do; fetch it again", plane.path)
    try:
        stored, overfull = _stored_values(dataset)
    except UNREADABLE as error:
        short = (str(error).splitlines() or [type(error).__name__])[0][:160]
        cut = any(words in short.lower() for words in ("less than expected", "length", "unexpected end"))
        reason = "truncated" if cut else "cannot_decode"
        raise VolumeError(reason, f"{short}; fetch or export the slice again", plane.path) from error
    return (stored if plane.frame is None or stored.ndim == 2 else stored[plane.frame]), overfull


def _stored_values(dataset: Dataset) -> tuple[np.ndarray, bool]:
    """The values that the words hold, and whether some need more bits than BitsStored, which need not fill the word.

    Old writers put 12 bits at the top of the word (HighBit 15), and some let metal run over into bits that BitsStored
    does not count: cut off, as pydicom does, it would be soft tissue.
    """
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    allocated, stored = int(dataset.BitsAllocated), int(dataset.BitsStored)
    plain = syntax is not None and (not syntax.is_compressed or syntax == RLELossless)
    if not plain or allocated not in (16, 32) or not 0 < stored < allocated:
        return dataset.pixel_array, False
    high_bit = int(dataset.HighBit)
    dataset.BitsStored, dataset.HighBit = allocated, allocated - 1
    words = dataset.pixel_array
    dataset.BitsStored, dataset.HighBit = stored, high_bit
    low, high = (-(1 << stored - 1), 1 << stored - 1) if dataset.PixelRepresentation else (0, 1 << stored)
    shift = high_bit + 1 - stored
    if shift and (words & np.array((1 << shift) - 1 if shift > 0 else -1, words.dtype)).any():
        # Its lowest bits would be empty. Where all values fit below, it is the tag that is wrong.
        if not 0 <= words.min() <= words.max() < 1 << stored:
            raise ValueError(f"HighBit {high_bit} and BitsStored {stored} contradict the pixels")
        shift = 0
    if shift == 0 and low <= words.min() and words.max() < high:
        return words, False
    # To the top of the word and down again: takes away what lies above the value, and extends its sign.
    up, down = (np.array(bits, words.dtype) for bits in (allocated - stored - shift, allocated - stored))
    values = (words << up) >> down
    if shift or _has_overlay_bits(dataset) or (words.min() >= 0 and words.max() < 1 << stored):
        return values, False
    return words, True


def _has_overlay_bits(dataset: Dataset) -> bool:
    """Whether the bits above the value are those of graphics, as they were before 2004."""
    positions = (dataset.get((group, OVERLAY_BIT_POSITION)) for group in OVERLAY_GROUPS)
    return any(element is not None and int(element.value or 0) > 0 for element in positions)


def _with_air(stored: np.ndarray, padding: Any, rescale: Rescale) -> np.ndarray:
    """Padding becomes air, unless its value is that of a tissue: then the tag is wrong."""
    if padding in (None, ""):
        return stored
    slope, intercept = rescale
    limits = np.iinfo(stored.dtype)
    # The tag may be read as signed where the pixels are not, and the reverse.
    readings = (int(padding) + wrap for wrap in (0, 1 << 16, -(1 << 16)))
    value = next((reading for reading in readings if limits.min <= reading <= limits.max), None)
    if value is None or slope == 0 or PADDING_BELOW_HU < value * slope + intercept < HIGHEST_TISSUE_HU:
        return stored
    air = np.clip(np.rint((AIR_HU - intercept) / slope), limits.min, limits.max).astype(stored.dtype)
    return np.where(stored == value, air, stored)
