"""What can be known of a volume without reading its voxels: above all, which one it is."""

import hashlib
import os
from pathlib import Path

from hounsfield.volumes.volume import VolumeError

ENDS_BYTES = 4096
# Their last bytes hold a checksum of the content, so that size, beginning and end tell two files apart.
CHECKSUMMED = (".gz", ".npz", ".zip")
# Headers whose voxels lie in a file beside them.
DETACHED = (".mhd", ".nhdr", ".hdr", ".hdr.gz")


def identity(path: str | os.PathLike, root: str | os.PathLike) -> str:
    """Hex digest that changes when the content does, from little reading.

    Compressed files: size, first and last 4 KiB, wherever they lie. Others: size, time of change and path below
    `root`, also of the file that holds a header's voxels. A folder of slices: names, sizes and times of its files.
    Raises VolumeError (`missing`, `empty`).
    """
    path = Path(path)
    digest = hashlib.blake2b(digest_size=16)
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        if not files:
            raise VolumeError("empty", "the folder holds no files", path)
        for file in files:
            digest.update(f"{file.relative_to(path)}\0{_size_and_time(file)}\0".encode("utf-8", "surrogateescape"))
    elif not path.is_file():
        raise VolumeError("missing", "there is no such file; check cohort.volumes and cohort.path", path)
    elif path.name.lower().endswith(DETACHED):
        from hounsfield.volumes.read import files_beside  # here, as the readers take seconds to import

        for file in [path, *files_beside(path)]:
            relative = os.path.relpath(file, root)
            digest.update(f"{relative}\0{_size_and_time(file)}\0".encode("utf-8", "surrogateescape"))
    elif path.name.lower().endswith(CHECKSUMMED):
        digest.update(_ends(path))
    else:
        relative = os.path.relpath(path, root)
        digest.update(f"{relative}\0{_size_and_time(path)}".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _size_and_time(path: Path) -> str:
    status = path.stat()
    return f"{status.st_size} {status.st_mtime_ns}"


def _ends(path: Path) -> bytes:
    size = path.stat().st_size
    with open(path, "rb") as file:
        begin = file.read(ENDS_BYTES)
        file.seek(max(0, size - ENDS_BYTES))
        return str(size).encode() + begin + file.read()
