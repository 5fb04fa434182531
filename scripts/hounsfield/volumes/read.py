"""One volume from any file or folder that users bring."""

import math
import os
from pathlib import Path

from nibabel.spatialimages import HeaderDataError

from hounsfield.errors import ConfigError, one_line
from hounsfield.volumes.arrays import data_files, read_itk, read_npz
from hounsfield.volumes.dicom import UNREADABLE, read_dicom
from hounsfield.volumes.hu import Rescale
from hounsfield.volumes.nifti import header_path, image_path, read_nifti
from hounsfield.volumes.signatures import foreign, has_dicom_magic, is_bare_dataset, start_of
from hounsfield.volumes.volume import Volume, VolumeError

HU_POLICIES = ("auto", "header", "table")
# What parsers raise on bytes that nobody foresaw: one bad volume among thousands must not end a run.
UNFORESEEN = (*UNREADABLE, HeaderDataError)


def read_volume(
    path: str | os.PathLike,
    hu: str = "auto",
    rescale: Rescale | None = None,
    spacing: tuple[float, float, float] | None = None,
) -> Volume:
    """Read a CT volume: HU in (z, y, x), LPS.

    hu: where HU come from: `header`, `table` (then `rescale`, slope and intercept of the stored values), or `auto`,
    whichever alone gives HU. spacing: mm (z, y, x) for a file whose header holds no geometry.
    Raises VolumeError, with a stable reason, for whatever cannot be trusted to be the whole volume in HU.
    """
    path = Path(path)
    try:
        return _read(path, hu, rescale, spacing)
    except MemoryError as error:
        raise VolumeError("too_large", "there is not enough memory to read it; take fewer workers", path) from error
    except OSError as error:
        raise VolumeError("unreadable", f"{one_line(error)}; check the disk and the permissions", path) from error
    except UNFORESEEN as error:  # type: ignore[misc]
        raise VolumeError("damaged", f"cannot be read ({one_line(error)}); fetch it again", path) from error


def files_of(path: str | os.PathLike) -> list[Path]:
    """The file at `path`, and the one beside it that it needs: the .raw of an .mhd, the .hdr of an .img.

    Raises VolumeError for a header that names something else, and OSError.
    """
    path = header_path(Path(path))
    if path.suffix.lower() in (".mhd", ".mha", ".nhdr", ".nrrd"):
        return [path, *data_files(path)]
    image = image_path(path)
    return [path] if image is None else [path, image]


def _read(path: Path, hu: str, rescale: Rescale | None, spacing: tuple | None) -> Volume:
    if spacing is not None and not all(0 < mm < math.inf for mm in spacing):
        raise VolumeError("no_geometry", f"the table gives the spacing {spacing} mm; correct it", path)
    if hu not in HU_POLICIES:
        raise ConfigError(f"hu: {hu!r} is not one of {', '.join(HU_POLICIES)}")
    if not path.exists():
        raise VolumeError("missing", "there is no such file; check cohort.volumes and cohort.path", path)
    if not path.is_dir() and not path.is_file():  # a pipe would be waited for without end
        raise VolumeError("not_a_file", "it is a pipe, a socket or a device; give a file or a folder", path)
    kind = "folder" if path.is_dir() else _kind(path)
    if kind in ("folder", "dicom"):
        return read_dicom(path, hu, rescale)
    if kind == "zip":
        return read_npz(path, hu, rescale, spacing)
    if kind == "itk":
        return read_itk(path, hu, rescale, spacing)
    return read_nifti(path, hu, rescale, spacing)


def _kind(path: Path) -> str:
    """By what the file holds; its name decides only what has no signature."""
    start = start_of(path)
    if has_dicom_magic(start):
        return "dicom"
    if start.startswith(b"PK"):
        return "zip"
    if start.startswith(b"NRRD"):
        return "itk"
    if foreign(start) is None and path.suffix.lower() in (".mha", ".mhd"):
        return "itk"
    return "dicom" if is_bare_dataset(start) else "nifti"
