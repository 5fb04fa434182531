"""DICOM: a folder of slices, or one enhanced multi-frame file."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from hounsfield.volumes.geometry import spacing_of, to_lps_zyx
from hounsfield.volumes.hu import PADDING_BELOW_HU, choose_hu
from hounsfield.volumes.volume import Volume, VolumeError

# Positions are written with so many digits that an honest series stays within this.
SAME_PLACE_MM = 0.01
UNEVEN_SHARE = 0.05


@dataclass(frozen=True)
class Slice:
    """One plane of a file: where it lies (LPS mm), how it is stored, and how its values become HU."""

    path: Path
    frame: int | None
    series: str
    instance: str
    shape: tuple[int, int]
    position: np.ndarray
    orientation: np.ndarray
    pixel_spacing: tuple[float, float]
    rescale: tuple[float, float]


def read_dicom(path: Path) -> Volume:
    """Read the one CT series of a folder, or of a file, slices in order of their place. Raises VolumeError."""
    slices = _one_series(_planes(path), path)
    slices, step = _ordered(slices, path)
    hu = np.stack(list(_pixels(slices)))
    first = slices[0]
    row_step, column_step = first.pixel_spacing
    affine = np.eye(4)
    # Columns: the steps of z, y and x; the orientation gives the direction along a row (x) first.
    affine[:3, 0] = step
    affine[:3, 1] = first.orientation[3:] * row_step
    affine[:3, 2] = first.orientation[:3] * column_step
    affine[:3, 3] = first.position
    lps_to_ras = np.diag([-1.0, -1.0, 1.0, 1.0])
    view, turned = to_lps_zyx(hu, lps_to_ras @ affine)
    values, _ = choose_hu(view, (1.0, 0.0), "header", None, str(path))
    return Volume(values, spacing_of(turned), turned, "header")


def _planes(path: Path) -> list[Slice]:
    """The planes of all CT images with a place, of all files; localizers, dose screens and other files left out."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    planes: list[Slice] = []
    others: set[str] = set()
    for file in files:
        try:
            header = pydicom.dcmread(file, stop_before_pixels=True)
        except (InvalidDicomError, OSError, EOFError, ValueError, KeyError):
            continue  # a text, a thumbnail, an index: archives hold them beside the slices
        if "Rows" not in header or _is_beside_the_point(header):
            continue
        if header.get("Modality") != "CT":
            others.add(str(header.get("Modality")))
        elif header.get("SamplesPerPixel", 1) != 1:
            others.add("colour")
        elif header.get("NumberOfFrames", 1) > 1 or "PerFrameFunctionalGroupsSequence" in header:
            planes += _enhanced(header, file)
        else:
            planes.append(_single(header, file))
    if not planes:
        found = f"only {', '.join(sorted(others))}" if others else "no DICOM image"
        raise VolumeError("not_ct" if others else "not_an_image", f"{found} in it; give a CT series", path)
    return planes


def _is_beside_the_point(header: Dataset) -> bool:
    kinds = [str(kind).upper() for kind in header.get("ImageType", [])]
    return "LOCALIZER" in kinds or ("SECONDARY" in kinds and "ImagePositionPatient" not in header)


def _single(header: Dataset, file: Path) -> Slice:
    _require(header, file)
    return Slice(
        file,
        None,
        str(header.get("SeriesInstanceUID", "")),
        str(header.get("SOPInstanceUID", file.name)),
        (int(header.Rows), int(header.Columns)),
        np.array(header.ImagePositionPatient, float),
        np.array(header.ImageOrientationPatient, float),
        (float(header.PixelSpacing[0]), float(header.PixelSpacing[1])),
        (float(header.RescaleSlope), float(header.RescaleIntercept)),
    )


def _enhanced(header: Dataset, file: Path) -> Iterator[Slice]:
    shared = header.get("SharedFunctionalGroupsSequence", [Dataset()])[0]
    for frame, own in enumerate(header.get("PerFrameFunctionalGroupsSequence", [])):
        flat = Dataset()
        flat.Rows, flat.Columns = header.Rows, header.Columns
        flat.SeriesInstanceUID = header.get("SeriesInstanceUID", "")
        flat.SOPInstanceUID = header.get("SOPInstanceUID", "")
        for sequence in (
            "PlanePositionSequence",
            "PlaneOrientationSequence",
            "PixelMeasuresSequence",
            "PixelValueTransformationSequence",
        ):
            group = own.get(sequence) or shared.get(sequence)
            if group:
                flat.update(group[0])
        plane = _single(flat, file)
        yield Slice(**(vars(plane) | {"frame": frame, "instance": f"{plane.instance} {frame}"}))


def _require(header: Dataset, file: Path) -> None:
    needed = {
        "ImagePositionPatient": ("no_position", "the slice does not say where it lies"),
        "ImageOrientationPatient": ("no_position", "the slice does not say how it lies"),
        "PixelSpacing": ("no_spacing", "the slice has no PixelSpacing"),
        "RescaleSlope": ("no_rescale", "the slice has no RescaleSlope"),
        "RescaleIntercept": ("no_rescale", "the slice has no RescaleIntercept"),
    }
    for name, (reason, detail) in needed.items():
        if header.get(name) in (None, ""):
            raise VolumeError(reason, f"{detail}; export the series again with {name}", file)


def _one_series(planes: list[Slice], path: Path) -> list[Slice]:
    # The same file twice is one slice; an anonymizer may give one identifier to all.
    planes = list({(plane.instance, tuple(plane.position)): plane for plane in planes}.values())
    series = {plane.series for plane in planes}
    if len(series) > 1:
        raise VolumeError("several_series", f"{len(series)} CT series in one folder; give each a folder", path)
    shapes = {plane.shape for plane in planes}
    if len(shapes) > 1:
        raise VolumeError("several_sizes", f"slices of {sorted(shapes)} pixels; keep those of one acquisition", path)
    first = planes[0]
    for plane in planes:
        turned = not np.allclose(plane.orientation, first.orientation, atol=1e-3)
        if turned or not np.allclose(plane.pixel_spacing, first.pixel_spacing, rtol=1e-3):
            raise VolumeError("several_sizes", f"{plane.path.name} lies or is spaced otherwise than the rest", path)
    if len(planes) < 2:
        raise VolumeError("one_slice", "one slice is a picture, and no volume", path)
    return planes


def _ordered(planes: list[Slice], path: Path) -> tuple[list[Slice], np.ndarray]:
    """Slices by their place along the normal, whatever their numbers and names say, and the step between two (mm).

    The step is that of the positions: under a tilted gantry it is not along the normal.
    """
    orientation = planes[0].orientation
    normal = np.cross(orientation[:3], orientation[3:])
    planes = sorted(planes, key=lambda plane: float(plane.position @ normal))
    gaps = np.diff([float(plane.position @ normal) for plane in planes])
    usual = float(np.median(gaps))
    if gaps.min() < SAME_PLACE_MM:
        where = planes[int(gaps.argmin())].path.name
        raise VolumeError("duplicate_position", f"two slices lie at the place of {where}; keep one acquisition", path)
    worst = int(np.abs(gaps - usual).argmax())
    if abs(gaps[worst] - usual) > UNEVEN_SHARE * usual:
        steps = gaps[worst] / usual
        missing = steps > 1.5 and abs(steps - round(steps)) < 0.1 and np.sum(np.abs(gaps - usual) > 0.1 * usual) <= 3
        where = f"{gaps[worst]:.2f} mm after {planes[worst].path.name}, {usual:.2f} mm elsewhere"
        if missing:
            raise VolumeError("missing_slice", f"{where}; fetch the missing slices", path)
        raise VolumeError("uneven_spacing", f"{where}; the slices are of several acquisitions", path)
    step = (planes[-1].position - planes[0].position) / (len(planes) - 1)
    return planes, step


def _pixels(slices: list[Slice]) -> Iterator[np.ndarray]:
    """HU of each slice, float32, padding below all tissue."""
    opened: tuple[Path, Dataset] | None = None
    for plane in slices:
        if opened is None or opened[0] != plane.path:
            opened = plane.path, pydicom.dcmread(plane.path)
        dataset = opened[1]
        try:
            stored = dataset.pixel_array
        except (AttributeError, ValueError, EOFError, RuntimeError, NotImplementedError, KeyError) as error:
            short = str(error).splitlines()[0][:160]
            cut = any(words in short.lower() for words in ("less than expected", "length", "unexpected end"))
            reason = "truncated" if cut else "cannot_decode"
            raise VolumeError(reason, f"{short}; fetch or export the slice again", plane.path) from error
        stored = stored if plane.frame is None or stored.ndim == 2 else stored[plane.frame]
        slope, intercept = plane.rescale
        hu = stored.astype(np.float32) * np.float32(slope) + np.float32(intercept)
        padding = dataset.get("PixelPaddingValue")
        if padding is not None:
            hu[stored == int(padding)] = PADDING_BELOW_HU - 1
        yield hu
