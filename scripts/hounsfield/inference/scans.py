"""New scans: files and folders without tables, found and named."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from hounsfield.cohort.facts import FACTS
from hounsfield.cohort.files import identities, volume_paths
from hounsfield.cohort.manifest import shards_of, write_if_changed
from hounsfield.cohort.sources import volume_name
from hounsfield.errors import TableError

SCAN_COLUMNS = ["volume", "path", "identity", "hu", *FACTS]
FINDINGS = ["volume", "pathology", "probability", "threshold", "finding"]
REFUSED = ["volume", "path", "reason", "detail"]


def find_scans(
    inputs: Sequence[str | os.PathLike], hu: str, cache_path: str | os.PathLike
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """SCAN_COLUMNS of each scan below `inputs` (files, or folders to look through), and REFUSED of those not there.

    Scans of one name are named by their paths. `cache_path` remembers the files' identities. Raises TableError if
    there is no scan at all.
    """
    paths = list(dict.fromkeys(path for given in inputs for path in _paths(Path(given))))
    if not paths:
        raise TableError(f"{inputs[0]}: no scan in it; give a file, or a folder with NIfTI, DICOM, NRRD or npz")
    shared = Counter(map(volume_name, paths))
    named = sorted((volume_name(path) if shared[volume_name(path)] == 1 else path, path) for path in paths)
    rows, refused = [], []
    for (name, path), found in zip(named, identities([path for _, path in named], "/", cache_path), strict=True):
        if isinstance(found, str):
            rows.append([name, path, found, hu, *[np.nan] * len(FACTS)])
        else:
            refused.append([name, path, found.reason, found.detail])
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


def _paths(given: Path) -> list[str]:
    return volume_paths(given) if given.is_dir() else [str(given)]
