"""The planes of one DICOM series: which belong together, in which order, and how far apart."""

import logging
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hounsfield.volumes.hu import Rescale
from hounsfield.volumes.volume import VolumeError

log = logging.getLogger(__name__)

SAME_PLACE_MM = 0.01
# Some round positions to a tenth of a millimetre, which moves a slice, and the ends of the series, by 0.05 each.
ROUNDING_MM = 0.11
UNEVEN_SHARE = 0.05
FEWEST_NAMELESS = 3


@dataclass(frozen=True)
class Plane:
    """One plane of a file: where it lies (LPS mm), how it is stored, and how its values become HU.

    frame: its number in an enhanced multi-frame file, else None. reference: the frame of reference that its position
    counts in, and its patient. shape: rows, columns. orientation: direction along a
    row, then down a column. pixel_spacing: mm from row to row, then from column to column. rescale: None where the
    file has none.
    """

    path: Path
    frame: int | None
    series: str
    reference: str
    shape: tuple[int, int]
    position: np.ndarray
    orientation: np.ndarray
    pixel_spacing: tuple[float, float]
    rescale: Rescale | None

    @property
    def normal(self) -> np.ndarray:
        """Unit vector across the plane."""
        return np.cross(self.orientation[:3], self.orientation[3:])


def check_one_series(planes: list[Plane], path: Path) -> None:
    """Raises VolumeError if `planes` are not of one series, size, direction and pixel spacing, or only one.

    Where each plane has a series of its own, as some anonymizers leave them, one frame of reference and one patient
    make them one, which the log says.
    """
    n_series = len({plane.series for plane in planes})
    if n_series > 1 and not _is_one_but_for_names(planes):
        raise VolumeError("several_series", f"{n_series} CT series in one folder; give each a folder", path)
    shapes = {plane.shape for plane in planes}
    if len(shapes) > 1:
        raise VolumeError("several_sizes", f"slices of {sorted(shapes)} pixels; keep those of one acquisition", path)
    first = planes[0]
    for plane in planes:
        turned = not np.allclose(plane.orientation, first.orientation, atol=1e-3)
        if turned or not np.allclose(plane.pixel_spacing, first.pixel_spacing, rtol=1e-3):
            raise VolumeError("several_sizes", f"{plane.path.name} lies or is spaced otherwise than the rest", path)
    if not np.isclose(np.linalg.norm(first.normal), 1, atol=1e-2) or not min(first.pixel_spacing) > 0:
        raise VolumeError("no_geometry", "the directions or the pixel spacing of the slices are impossible", path)
    if len(planes) < 2:
        raise VolumeError("one_slice", "one slice is a picture, and no volume", path)
    if n_series > 1:
        log.warning("%s: each slice has a series UID of its own, %d in all; they are taken as one", path, n_series)


def _is_one_but_for_names(planes: list[Plane]) -> bool:
    """Whether each place has a series of its own, enough of them to be even by no chance, and all else says one."""
    places = defaultdict(set)
    for plane in planes:
        places[plane.series].add(tuple(plane.position))
    alone = len(places) >= FEWEST_NAMELESS and all(len(held) == 1 for held in places.values())
    return alone and len({plane.reference for plane in planes}) == 1


def in_order(planes: list[Plane], path: Path) -> tuple[list[Plane], np.ndarray]:
    """`planes` by their place along the normal, whatever their numbers and names say, and the step between two (mm).

    The step is that of the positions: under a tilted gantry it is not along the normal. Raises VolumeError
    (`duplicate_position`, `missing_slice`, `uneven_spacing`) unless all lie one step apart.
    """
    normal = planes[0].normal
    planes = sorted(planes, key=lambda plane: float(plane.position @ normal))
    positions = np.stack([plane.position for plane in planes])
    gaps = np.diff(positions @ normal)
    if gaps.min() < SAME_PLACE_MM:
        where = planes[int(gaps.argmin())].path.name
        raise VolumeError("duplicate_position", f"two slices lie at the place of {where}; keep one acquisition", path)
    step = (positions[-1] - positions[0]) / (len(planes) - 1)
    off = positions - (positions[0] + np.arange(len(planes))[:, None] * step)
    along = np.abs(off @ normal).max()
    across = np.linalg.norm(off - np.outer(off @ normal, normal), axis=1).max()
    if along > max(ROUNDING_MM, UNEVEN_SHARE * float(step @ normal)):
        raise _gap_error(gaps, planes, path)
    if across > max(ROUNDING_MM, min(planes[0].pixel_spacing) / 2):
        raise VolumeError("uneven_spacing", f"slices are shifted sideways by {across:.2f} mm", path)
    return planes, step


def _gap_error(gaps: np.ndarray, planes: list[Plane], path: Path) -> VolumeError:
    usual = float(np.sort(gaps)[(len(gaps) - 1) // 2])
    steps = gaps / usual
    worst = int(np.abs(steps - 1).argmax())
    where = f"{gaps[worst]:.2f} mm after {planes[worst].path.name}, {usual:.2f} mm elsewhere"
    if (np.abs(steps - np.rint(steps)) < 0.1).all():
        return VolumeError("missing_slice", f"{where}; fetch the missing slices", path)
    return VolumeError("uneven_spacing", f"{where}; the slices are of several acquisitions", path)
