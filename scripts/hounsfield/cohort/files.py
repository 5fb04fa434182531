"""Finding each volume's file, and knowing whether it changed."""

import hashlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from string import Formatter

import pandas as pd

from hounsfield.cohort.sources import SUFFIXES, is_writable_name, volume_name
from hounsfield.errors import TableError
from hounsfield.progress import progress
from hounsfield.volumes.signatures import is_slice
from hounsfield.volumes.sources import look_at
from hounsfield.volumes.volume import VolumeError

log = logging.getLogger(__name__)

WORKERS = 16  # waiting for disks, not computing
PATHS_PER_TASK = 256


def find_files(root: str | os.PathLike) -> tuple[dict[str, str], set[str]]:
    """Path of each volume below `root` by its name, and the names that stand for several files."""
    paths: dict[str, str] = {}
    several: set[str] = set()
    for path in volume_paths(root):
        name = volume_name(path)
        if name in paths:
            several.add(name)
        paths.setdefault(name, path)
    return paths, several


def volume_paths(root: str | os.PathLike) -> list[str]:
    """Paths of all volumes below `root` that can stand in a table.

    A volume is a file with an image's suffix, or a folder that holds DICOM slices itself. Links are followed; names
    that begin with a dot are passed over.
    """
    paths: list[str] = []
    errors: list[OSError] = []
    for folder in walk(root, errors):
        paths += volumes_in(folder)
    for error in errors:
        log.warning("%s: cannot be looked into (%s); its volumes are left out", error.filename, error.strerror)
    return [path for path in paths if _is_writable(path)]


def walk(root: str | os.PathLike, errors: list[OSError]) -> Iterator[tuple[str, list[str]]]:
    """Each folder below `root` with its files; those that cannot be looked into are put into `errors`."""
    seen: set[tuple[int, int]] = set()
    for folder, folders, files in os.walk(os.fspath(root), onerror=errors.append, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:  # a link to a folder above it would never end
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield folder, sorted(name for name in files if not name.startswith("."))


def volumes_in(folder: tuple[str, list[str]]) -> list[str]:
    """The volumes among a folder's files, and the folder itself where some of them are slices."""
    path, files = folder
    images = [os.path.join(path, name) for name in files if is_image_name(name)]
    others = (os.path.join(path, name) for name in files if not is_image_name(name))
    return [*images, path] if any(map(is_slice, others)) else images


def is_image_name(name: str) -> bool:
    """Whether a file's name says that it alone is a volume."""
    return name.lower().endswith(SUFFIXES)


def _is_writable(path: str) -> bool:
    if not is_writable_name(path):
        log.warning("%s: left out, as its path is no valid text; rename it", ascii(path))
    return is_writable_name(path)


def template_paths(template: str, root: str | os.PathLike, table: pd.DataFrame) -> list[str | None]:
    """The path that `template`, such as "{split}/{volume}.nii.gz", gives for each row; None if nothing is there.

    The suffix may be left out. Values are only ever put in: they are no templates themselves. A row that lacks a value
    has no path. Raises TableError for a path that leaves `root`.
    """
    pieces = [(literal, name) for literal, name, _, _ in Formatter().parse(template)]
    top = os.path.join(os.path.abspath(root), "")
    columns = {name: table[name].tolist() for _, name in pieces if name is not None}
    paths = []
    for row, volume in enumerate(table["volume"]):
        values = [(literal, "" if name is None else columns[name][row]) for literal, name in pieces]
        if any(not value for (_, value), (_, name) in zip(values, pieces, strict=True) if name is not None):
            paths.append("")
            continue
        path = os.path.normpath(os.path.join(root, "".join(literal + value for literal, value in values)))
        if not os.path.abspath(path).startswith(top):
            raise TableError(f"{volume}: its path {path} is not inside {root} (cohort.volumes); correct the table")
        paths.append(path)
    return list(_in_threads(_existing, paths, "paths"))


def stamps(paths: Sequence[str]) -> list[str | VolumeError]:
    """What tells whether each path's files changed, or why it cannot be read; see `volumes.sources`."""

    def look(path: str) -> str | VolumeError:
        try:
            return look_at(path).stamp
        except VolumeError as error:
            return error

    return list(_in_threads(look, paths, "files"))


def _existing(path: str) -> str | None:
    if not path:
        return None
    endings = ("", *SUFFIXES) if not path.lower().endswith(SUFFIXES) else ("",)
    return next((path + ending for ending in endings if os.path.exists(path + ending)), None)


def _in_threads(function: Callable, items: Sequence, what: str) -> Iterator:
    tasks = [items[start : start + PATHS_PER_TASK] for start in range(0, len(items), PATHS_PER_TASK)]
    with ThreadPoolExecutor(WORKERS) as pool:
        for results in progress(pool.map(lambda task: [function(item) for item in task], tasks), len(tasks), what):
            yield from results


def files_digest(folder: str | os.PathLike) -> str:
    """Hex digest that changes when a scan below `folder` comes, goes or is written over; no file is opened."""
    digest = hashlib.blake2b(digest_size=16)
    for path in volume_paths(folder):
        digest.update(f"{path}\0{look_at(path).stamp}\0".encode())
    return digest.hexdigest()
