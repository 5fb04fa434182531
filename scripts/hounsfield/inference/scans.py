"""New scans: files and folders without tables, found and named."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from hounsfield.cohort.facts import FACTS
from hounsfield.cohort.files import is_image_name, stamps, volumes_in, walk
from hounsfield.cohort.manifest import shards_of, write_if_changed
from hounsfield.cohort.sources import SUFFIXES, is_writable_name, volume_name
from hounsfield.errors import TableError, one_line
from hounsfield.volumes.read import files_of
from hounsfield.volumes.signatures import foreign, has_dicom_magic, is_slice, start_of, zip_content
from hounsfield.volumes.volume import VolumeError

SCAN_COLUMNS = ["volume", "path", "stamp", "hu", *FACTS]
FINDINGS = ["volume", "pathology", "probability", "threshold", "finding"]
REFUSED = ["volume", "path", "reason", "detail"]
NO_SCAN = "no_scan"  # of a file that lies among scans, and does not look like one


def find_scans(inputs: Sequence[str | os.PathLike], hu: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """SCAN_COLUMNS of each scan below `inputs` (files, or folders to look through), and REFUSED of all else there.

    Each file is a scan or part of one, or is refused; those that begin with a dot are passed over. Scans of one name
    are named by their paths. Raises TableError if there is no scan at all.
    """
    found = [_found(Path(given)) for given in inputs]
    paths = list(dict.fromkeys(path for volumes, _ in found for path in volumes))
    others = {error.path: error for _, errors in found for error in errors if error.path not in paths}
    if not paths:
        held = f" (the first of {len(others)} others: {next(iter(others.values()))})" if others else ""
        raise TableError(f"{inputs[0]}: no scan in it{held}; give a file, or a folder with NIfTI, DICOM, NRRD or npz")
    shared = Counter(map(volume_name, paths))
    named = sorted((volume_name(path) if shared[volume_name(path)] == 1 else path, path) for path in paths)
    rows: list[list] = []
    refused = [[volume_name(path), path, error.reason, error.detail] for path, error in others.items()]
    for (name, path), stamp in zip(named, stamps([path for _, path in named]), strict=True):
        if isinstance(stamp, str):
            rows.append([name, path, stamp, hu, *[np.nan] * len(FACTS)])
        else:
            refused.append([name, path, stamp.reason, stamp.detail])
    return pd.DataFrame(rows, columns=SCAN_COLUMNS), pd.DataFrame(refused, columns=REFUSED)


def write_scan_shards(scans: pd.DataFrame, paths: Sequence[str | os.PathLike]) -> None:
    """Deal the scans out to shards by a hash of their names, and write each one's table."""
    shards = np.array(shards_of(scans["volume"], len(paths)))
    for number, path in enumerate(paths):
        write_if_changed(scans[shards == f"{number:02d}"], path)


def refused_scans(rows: pd.DataFrame, stored: pd.DataFrame) -> pd.DataFrame:
    """REFUSED of the scans (SCAN_COLUMNS) that `stored`, the table of `preprocess_shard`, has a reason against."""
    bad = stored[stored["reason"].fillna("") != ""]
    return bad[["volume", "reason", "detail"]].merge(rows[["volume", "path"]], on="volume")[REFUSED]


def gather_findings(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """FINDINGS of all shards, by volume; of one volume the pathologies keep their order."""
    found = [table.astype({"finding": "Int64"}) for table in tables if len(table)]
    empty = pd.DataFrame(columns=FINDINGS)
    return pd.concat(found).sort_values("volume", kind="stable", ignore_index=True) if found else empty


def _found(given: Path) -> tuple[list[str], list[VolumeError]]:
    """The volumes at or below `given`, and why each other file there is none."""
    if not given.is_dir():
        return [str(given)], []
    errors: list[OSError] = []
    volumes: list[str] = []
    others: list[VolumeError] = []
    for folder in walk(given, errors):
        here = volumes_in(folder)
        volumes += filter(is_writable_name, here)
        for path in here:
            if not is_writable_name(path):
                others.append(VolumeError("unwritable_name", "its path is no valid text; rename it", ascii(path)))
        others += _beside(folder, set(here))
    for error in errors:
        others.append(
            VolumeError("unreadable", f"{error.strerror}; correct its permissions", os.fspath(error.filename))
        )
    return volumes, others


def _beside(folder: tuple[str, list[str]], volumes: set[str]) -> list[VolumeError]:
    """Why each of a folder's files that is no part of its `volumes` is none."""
    top, names = folder
    parts = {
        os.path.normpath(part) for path in volumes if path != top and os.path.isfile(path) for part in _parts(path)
    }
    paths = (os.path.join(top, name) for name in names if not is_image_name(name))
    rest = (path for path in paths if os.path.normpath(path) not in parts and not (top in volumes and is_slice(path)))
    return [_no_scan(path) for path in rest]


def _parts(path: str) -> list[Path]:
    try:
        return files_of(path)
    except (OSError, VolumeError):
        return []  # reading it will say why


def _no_scan(path: str) -> VolumeError:
    shown = path if is_writable_name(path) else ascii(path)
    if not os.path.isfile(path):
        return VolumeError("not_a_file", "a link to nothing, a pipe or a device; remove it", shown)
    try:
        start = start_of(path)
        if start.startswith(b"PK"):
            return VolumeError("archive", f"it is {zip_content(path)}", shown)
    except (OSError, BadZipFile) as error:
        return VolumeError("unreadable", f"{one_line(error)}; fetch it again", shown)
    what = foreign(start)
    if what is None and path.lower().endswith((".img", ".img.gz")):
        return VolumeError("incomplete_pair", "an .img without its .hdr; put both in one folder", shown)
    if what is not None and "archive" in what:
        return VolumeError("archive", f"it is {what}", shown)
    if has_dicom_magic(start):
        what = "DICOM, and no slice"
    detail = f"it is {what}" if what else f"neither DICOM nor named as an image ({', '.join(SUFFIXES)})"
    return VolumeError(NO_SCAN, detail, shown)
