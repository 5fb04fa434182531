"""Finding each volume's file, and knowing whether it changed."""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from hounsfield.cohort.labels import SUFFIXES, without_suffix
from hounsfield.errors import ConfigError, TableError
from hounsfield.progress import progress
from hounsfield.tables import read_table, write_table
from hounsfield.volumes.header import identity

WORKERS = 16  # waiting for disks, not computing


def find_files(root: str | os.PathLike) -> tuple[dict[str, str], set[str]]:
    """Path of each volume below `root` by its name, and the names that stand for several files.

    A volume is a file with an image's suffix, or a folder of other files, such as DICOM slices.
    """
    paths: dict[str, str] = {}
    several: set[str] = set()
    for folder, folders, files in os.walk(root):
        folders.sort()
        images = [name for name in files if name.lower().endswith(SUFFIXES) and not name.startswith(".")]
        found = [os.path.join(folder, name) for name in images]
        if not images and files and not folders:
            found = [folder]
        for path in found:
            name = without_suffix(path)
            several |= {name} & paths.keys()
            paths.setdefault(name, path)
    return paths, several


def fill_template(template: str, root: str, row: Mapping[str, str]) -> str:
    """The path that `template`, such as "{split}/{volume}.nii.gz", gives for a row, below `root`.

    Raises ConfigError for a name that the row lacks, TableError for a path that leaves `root`.
    """
    try:
        path = os.path.normpath(os.path.join(root, template.format_map(row)))
    except (KeyError, IndexError, ValueError) as error:
        raise ConfigError(f"config: cohort.path: {template!r} has no value for {error}") from error
    if not Path(os.path.abspath(path)).is_relative_to(os.path.abspath(root)):
        raise TableError(f"{row['volume']}: its path {path} leaves the folder {root}; mend the table")
    return path


def identities(paths: list[str], root: str, cache_path: str | os.PathLike) -> list[str]:
    """Identity of each path, reading only the files that are new or changed since `cache_path` was written."""
    known = {}
    if os.path.exists(cache_path):
        table = read_table(cache_path, text=["path", "stamp", "identity"])
        known = {(row.path, row.stamp): row.identity for row in table.itertuples()}
    stamps = [_stamp(path) for path in paths]

    def look_up(item: tuple[str, str]) -> str:
        return known.get(item) or identity(item[0], root)

    with ThreadPoolExecutor(WORKERS) as pool:
        items = list(zip(paths, stamps, strict=True))
        found = list(progress(pool.map(look_up, items), len(items), "identities"))
    write_table(pd.DataFrame({"path": paths, "stamp": stamps, "identity": found}), cache_path)
    return found


def _stamp(path: str) -> str:
    status = os.stat(path)
    # A folder's time tells of files that come and go, not of files that are written over.
    return f"{status.st_size} {status.st_mtime_ns}" if not os.path.isdir(path) else f"folder {os.urandom(8).hex()}"
