"""Finding each volume's file, and knowing whether it changed."""

import hashlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from string import Formatter

import pandas as pd

from hounsfield.cohort.sources import SUFFIXES, folded_name, is_writable_name, volume_name
from hounsfield.errors import TableError
from hounsfield.progress import progress
from hounsfield.volumes.signatures import is_slice
from hounsfield.volumes.sources import look_at
from hounsfield.volumes.volume import VolumeError

log = logging.getLogger(__name__)

WORKERS = 16  # waiting for disks, not computing
PATHS_PER_TASK = 256


def find_files(root: str | os.PathLike) -> dict[str, list[str]]:
    """Paths of the volumes below `root` by their names: of a name that is no one's own, several."""
    paths: dict[str, list[str]] = {}
    for path in volume_paths(root):
        paths.setdefault(volume_name(path), []).append(path)
    return paths


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


def template_paths(
    template: str, root: str | os.PathLike, table: pd.DataFrame, similar_names: str = "stop"
) -> list[str | None]:
    """The path that `template`, such as "{split}/{volume}.nii.gz", gives for each row; None if nothing is there.

    The suffix may be left out, and names that `plain_name` takes for one are one; similar_names is the policy for
    those that differ in case or leading zeros. Values are only ever put in: they are no templates themselves. A row
    that lacks a value has no path. Raises TableError for a path that leaves `root`, or by the policy.
    """
    top = os.path.join(os.path.abspath(root), "")
    fields = [name for _, name, _, _ in Formatter().parse(template) if name is not None]
    paths = []
    for row in table[list(dict.fromkeys(["volume", *fields]))].to_dict("records"):
        volume = row["volume"]
        if not all(row[name] for name in fields):
            paths.append("")
            continue
        path = os.path.normpath(os.path.join(root, filled(template, row)))
        if not os.path.abspath(path).startswith(top):
            raise TableError(f"{volume}: its path {path} is not inside {root} (cohort.volumes); correct the table")
        paths.append(path)
    found = list(_in_threads(_existing, paths, "paths"))
    others = _OtherSpellings(root, similar_names)
    return [near or others.find(path) if path else None for path, near in zip(paths, found, strict=True)]


def filled(template: str, row: Mapping[str, str]) -> str:
    """`template` with a row's values in the place of the names in braces."""
    return "".join(
        literal + (row[name] if name is not None else "") for literal, name, _, _ in Formatter().parse(template)
    )


class _OtherSpellings:
    """Files whose names are spelled otherwise than a table has them; each folder is listed once."""

    def __init__(self, root: str | os.PathLike, policy: str) -> None:
        self.root, self.policy = os.path.normpath(root), policy
        self.listed: dict[str, dict[str, list[str]]] = {}

    def find(self, path: str) -> str | None:
        """The path below the root that has the names of `path`, or None. Raises TableError by the policy."""
        here = self.root
        parts = os.path.relpath(path, self.root).split(os.sep)
        for part in parts:
            there = os.path.join(here, part) if os.path.exists(os.path.join(here, part)) else self._entry(here, part)
            if there is None:
                return None
            here = there
        return here

    def _entry(self, folder: str, name: str) -> str | None:
        alike = self._entries(folder).get(folded_name(volume_name(name)), [])
        same = [entry for entry in alike if volume_name(entry) == volume_name(name)]
        if not same and alike and self.policy == "stop":
            raise TableError(
                f"{folder}: {name!r} (by cohort.path) and {alike[0]!r} there differ only in case or leading zeros; "
                "correct one, or set cohort.similar_names to same or different"
            )
        chosen = same or (alike if self.policy == "same" else [])
        return os.path.join(folder, chosen[0]) if len(chosen) == 1 else None

    def _entries(self, folder: str) -> dict[str, list[str]]:
        if folder not in self.listed:
            entries: dict[str, list[str]] = {}
            for entry in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
                entries.setdefault(folded_name(volume_name(entry)), []).append(entry)
            self.listed[folder] = entries
        return self.listed[folder]


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
