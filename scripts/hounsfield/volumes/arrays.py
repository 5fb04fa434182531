"""Volumes in numpy archives (RAD-ChestCT), NRRD and MetaImage."""

import zipfile
from pathlib import Path

import numpy as np
import SimpleITK

from hounsfield.volumes.geometry import spacing_of, to_lps_zyx
from hounsfield.volumes.hu import Rescale, choose_hu
from hounsfield.volumes.volume import Volume, VolumeError


def read_npz(path: Path, hu: str, rescale: Rescale | None, spacing: tuple | None) -> Volume:
    """The array `ct` (or the only one) of an archive, axes to inferior, posterior and left as RAD-ChestCT's.

    `spacing` is in mm, (z, y, x), as the file holds none. Raises VolumeError.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            name = "ct" if "ct" in archive.files else archive.files[0] if len(archive.files) == 1 else None
            if name is None:
                raise VolumeError("not_an_image", f"no array named ct among {', '.join(archive.files)}", path)
            raw = archive[name]
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, KeyError) as error:
        reason = "bad_checksum" if "CRC" in str(error) else "truncated"
        raise VolumeError(reason, f"the archive is damaged ({error}); fetch it again", path) from error
    if spacing is None:
        raise VolumeError("no_geometry", "a numpy archive holds no spacing; give it in a table", path)
    _check_shape(raw, path)
    toward = np.diag([1.0, 1.0, 1.0, 1.0])
    dz, dy, dx = spacing
    # Columns are the steps of the array's axes in LPS+ mm: down, back, left.
    toward[:3, :3] = np.array([[0, 0, dx], [0, dy, 0], [-dz, 0, 0]])
    return _volume(raw, toward, hu, rescale, path)


def read_itk(path: Path, hu: str, rescale: Rescale | None) -> Volume:
    """NRRD and MetaImage. Raises VolumeError, also for a file shorter than its header says."""
    try:
        image = SimpleITK.ReadImage(str(path))
    except RuntimeError as error:
        short = str(error).strip().splitlines()[-1][:160]
        raise VolumeError("damaged", f"cannot be read ({short}); fetch it again", path) from error
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise VolumeError("rgb", "the voxels have several components, so this is no CT", path)
    if image.GetDimension() != 3:
        raise VolumeError("several_frames", f"the image has {image.GetDimension()} dimensions, not 3", path)
    raw = SimpleITK.GetArrayFromImage(image)  # (z, y, x) of the file's own axes
    _check_shape(raw, path)
    matrix = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine = np.eye(4)
    affine[:3, :3] = matrix[:, ::-1]
    affine[:3, 3] = image.GetOrigin()
    return _volume(raw, affine, hu, rescale, path)


def _check_shape(raw: np.ndarray, path: Path) -> None:
    if raw.ndim != 3 or not np.issubdtype(raw.dtype, np.number):
        raise VolumeError("several_frames", f"the array has the shape {raw.shape}, type {raw.dtype}", path)
    if min(raw.shape) < 2:
        raise VolumeError("one_slice", f"the shape is {raw.shape}: a picture, and no volume", path)


def _volume(raw: np.ndarray, affine_lps: np.ndarray, hu: str, rescale: Rescale | None, path: Path) -> Volume:
    view, affine = to_lps_zyx(raw, np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine_lps)
    values, source = choose_hu(view, (1.0, 0.0), hu, rescale, str(path))
    return Volume(values, spacing_of(affine), affine, source)
