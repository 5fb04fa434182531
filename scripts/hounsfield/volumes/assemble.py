"""From a stored array and its affine to a volume."""

from pathlib import Path

import nibabel
import numpy as np

from hounsfield.volumes.geometry import is_blank, is_sound, spacing_of, to_lps_zyx
from hounsfield.volumes.hu import Rescale, choose_hu
from hounsfield.volumes.volume import Volume, VolumeError


def assemble(
    raw: np.ndarray,
    affine_ras: np.ndarray,
    own: Rescale,
    hu: str,
    rescale: Rescale | None,
    spacing: tuple[float, float, float] | None,
    path: Path,
) -> Volume:
    """Turn `raw` (any axes, as `affine_ras` says) to (z, y, x) LPS, and its values to HU.

    own: slope and intercept of the file's header; rescale, spacing: a table's, or None. Raises VolumeError.
    """
    if not is_sound(affine_ras):
        steps = ", ".join(f"{step:g}" for step in np.linalg.norm(affine_ras[:3, :3], axis=0))
        raise VolumeError("no_geometry", f"its voxels have impossible sizes or axes ({steps} mm); write it again", path)
    view, affine = to_lps_zyx(raw, affine_ras)
    values, source = choose_hu(view, own, hu, rescale, str(path))
    if source == "table" and spacing is None and is_blank(affine_ras):
        raise VolumeError("no_geometry", "its HU come from a table, which gives no spacing, nor does its affine", path)
    orientation = "".join(nibabel.aff2axcodes(affine_ras))
    return Volume(values, spacing_of(affine), affine, source, orientation)
