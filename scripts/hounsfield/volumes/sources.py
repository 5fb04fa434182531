"""Which files a volume consists of, whether they changed, and the digest of what they hold.

A volume is known by its content, wherever it lies and whatever it is called. What need not be read again is known as
git's index knows it: by path, size, time of change and inode of files whose digest was taken before.
"""

import errno
import hashlib
import json
import logging
import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

from hounsfield.files import atomic_write
from hounsfield.volumes.signatures import files_below, slice_files
from hounsfield.volumes.volume import VolumeError

log = logging.getLogger(__name__)

# Headers whose voxels may lie in a file beside them, and files that may have a header beside them.
DETACHED = (".mhd", ".mha", ".nhdr", ".nrrd", ".hdr", ".hdr.gz", ".img", ".img.gz")
PIECE_BYTES = 2**20
# Within the coarsest clock of a file system (FAT: 2 s), a second change may leave a file's time as it was.
CLOCK_NS = 2 * 10**9
# A store that others look after serves whoever may read it.
UNWRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)


@dataclass(frozen=True)
class Source:
    """The files of a volume, as they are now.

    path: what the table names. read: the files that hold it. names: further files below a folder, which decide whether
    its series is whole. stamp: hex digest of names, sizes, times and inodes. changed_ns: time of the latest change.
    """

    path: Path
    read: tuple[Path, ...]
    names: tuple[str, ...]
    stamp: str
    changed_ns: int

    def digest(self) -> str:
        """Hex digest (XXH3, 128 bits) of all bytes, whatever the files are called. Raises OSError."""
        parts = sorted(_file_digest(file) for file in self.read)
        if len(parts) == 1 and not self.names:
            return parts[0]
        return xxhash.xxh3_128_hexdigest("\0".join([*parts, *self.names]).encode("utf-8", "surrogateescape"))


def look_at(path: str | os.PathLike) -> Source:
    """The files of the volume at `path`; only those of a header with detached voxels are opened.

    Raises VolumeError (`missing`, `empty`, `not_a_file`, `unreadable`).
    """
    path = Path(path)
    try:
        files = [(file, _status(file)) for file in _files_of(path)]
    except FileNotFoundError as error:
        raise VolumeError("missing", "there is no such file; check cohort.volumes and cohort.path", path) from error
    except OSError as error:
        detail = f"{error.strerror or error}; correct the file's permissions"
        raise VolumeError("unreadable", detail, path) from error
    digest = hashlib.blake2b(digest_size=16)
    for file, status in files:
        line = f"{os.path.relpath(file, path)}\0{status.st_size} {status.st_mtime_ns} {status.st_ino}\0"
        digest.update(line.encode("utf-8", "surrogateescape"))
    regular = [file for file, status in files if stat.S_ISREG(status.st_mode)]
    if not regular:
        raise VolumeError("empty", "the folder holds no files", path)
    read = slice_files(path, regular) if path.is_dir() else regular
    names = {os.path.relpath(file, path) for file, _ in files} - {os.path.relpath(file, path) for file in read}
    changed = max(status.st_mtime_ns for _, status in files)
    return Source(path, tuple(read), tuple(sorted(names)), digest.hexdigest(), changed)


def _files_of(path: Path) -> list[Path]:
    """The volume's files; of a folder, all below it. Raises VolumeError, OSError."""
    kind = path.stat().st_mode
    if stat.S_ISDIR(kind):
        return files_below(path)
    if not stat.S_ISREG(kind):  # a pipe would be waited for without end
        raise VolumeError("not_a_file", "it is a pipe, a socket or a device; give a file or a folder", path)
    if not path.name.lower().endswith(DETACHED):
        return [path]
    from hounsfield.volumes.read import files_of  # here, as the readers take seconds to import

    return files_of(path)


def _status(file: Path) -> os.stat_result:
    try:
        return file.stat()
    except FileNotFoundError:
        return file.lstat()  # a link to nothing; reading it will say so


def _file_digest(path: Path) -> str:
    digest = xxhash.xxh3_128()
    with open(path, "rb", buffering=0) as file:
        piece = bytearray(PIECE_BYTES)
        view = memoryview(piece)
        while size := file.readinto(piece):
            digest.update(view[:size])
    return digest.hexdigest()


class SourceIndex:
    """Digests that were taken of sources, a small file each below `root`; several processes may share it."""

    def __init__(self, root: str | os.PathLike):
        self.root = Path(root)

    def known(self, path: str | os.PathLike, stamp: str) -> str | None:
        """The digest of what lay at `path` when it had `stamp`, if it was taken; nothing is looked at there."""
        entry = self._entry(Path(path))
        return entry["digest"] if entry.get("stamp") == stamp else None

    def digest(self, source: Source) -> str:
        """The digest of `source`, taken now if it is not known. Raises VolumeError (`changed`, `unreadable`)."""
        found = self.known(source.path, source.stamp)
        if found is not None:
            return found
        before = time.time_ns()
        try:
            found = source.digest()
        except OSError as error:
            detail = f"{error.strerror or error}; check the disk and the permissions"
            raise VolumeError("unreadable", detail, source.path) from error
        check_unchanged(source)
        # What changed just now may change again under the same time: such a digest is taken anew the next time.
        if source.changed_ns + CLOCK_NS < before:
            self._remember(source, found)
        return found

    def _remember(self, source: Source, digest: str) -> None:
        entry = {"path": os.path.abspath(source.path), "stamp": source.stamp, "digest": digest}
        try:
            with atomic_write(self._file(source.path)) as partial:
                partial.write_text(json.dumps(entry), encoding="utf-8")
        except OSError as error:
            if error.errno not in UNWRITABLE:
                raise
            log.info("%s cannot be written: digests are taken anew each time", self.root)

    def _entry(self, path: Path) -> dict[str, Any]:
        try:
            entry = json.loads(self._file(path).read_bytes())
        except (FileNotFoundError, ValueError):  # a damaged entry is as good as none
            return {}
        return entry if isinstance(entry, dict) and isinstance(entry.get("digest"), str) else {}

    def _file(self, path: Path) -> Path:
        name = hashlib.blake2b(os.fsencode(os.path.abspath(path)), digest_size=16).hexdigest()
        return self.root / name[:2] / f"{name}.json"


def check_unchanged(source: Source) -> None:
    """Raises VolumeError (`changed`) if the files are not as they were when `source` was looked at."""
    if look_at(source.path).stamp != source.stamp:
        raise VolumeError("changed", "it was written to while it was read; run again once it is whole", source.path)
