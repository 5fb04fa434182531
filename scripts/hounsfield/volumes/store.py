"""The store: volumes on the common grid, without labels, addressed by what was read and how.

A file is a magic word, the length and checksum of a JSON header, the header, and a blosc2 frame of the voxels in
order (LZ4 after a byte shuffle, of uint8 after a bit shuffle: of the formats measured, those that read whole volumes
fastest at about a fifth of float32's size; tests/benchmarks/store.py).
"""

import hashlib
import json
import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
from isal import isal_zlib

from hounsfield.config import canonical
from hounsfield.errors import StoreError
from hounsfield.files import atomic_write
from hounsfield.volumes.sources import SourceIndex

# Raise it when the same input and settings would give other voxels or another layout.
FORMAT = 4
MAGIC = b"HFSTORE1"
CHUNK = 2**20  # bytes that are decompressed at once


@dataclass(frozen=True)
class StoredVolume:
    """What a file of the store holds: voxels (z, y, x), and the header's facts about their source."""

    voxels: np.ndarray
    facts: dict[str, Any]


@dataclass(frozen=True)
class CompressedVolume:
    """What a file of the store holds: the header's facts, and the voxels as a blosc2 frame."""

    facts: dict[str, Any]
    frame: memoryview

    def decompress(self) -> np.ndarray:
        """Voxels (z, y, x)."""
        voxels = np.empty(self.facts["shape"], self.facts["dtype"])
        blosc2.schunk_from_cframe(self.frame).get_slice(out=voxels)
        return voxels


class VolumeStore:
    """A folder of volumes. Several processes may write to it at once; equal keys hold equal bytes."""

    def __init__(self, root: str | os.PathLike):
        self.root = Path(root)
        self.sources = SourceIndex(self.root / "sources")

    def key(self, content: str, reading: Mapping[str, Any], preprocessing: Mapping[str, Any]) -> str:
        """Address of the volume whose files have the digest `content`, under canonical settings."""
        parts = {"content": content, "reading": reading, "preprocessing": preprocessing, "format": FORMAT}
        text = json.dumps(canonical(parts), sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def path(self, key: str) -> Path:
        """Where the volume of `key` lies."""
        return self.root / key[:2] / f"{key}.ct"

    def __contains__(self, key: str) -> bool:
        return self.path(key).is_file()

    def __iter__(self) -> Iterator[str]:
        """Keys of all volumes in the store."""
        return (path.stem for path in sorted(self.root.glob("??/*.ct")))

    def is_of_earlier_version(self) -> bool:
        """Whether the store holds volumes, and none that this version has written."""
        return not self.sources.root.exists() and any(True for _ in self.root.glob("??/*.ct"))

    def write(self, key: str, voxels: np.ndarray, facts: Mapping[str, Any] | None = None) -> str:
        """Store `voxels` (z, y, x), return the digest of their values; `facts` about the source go into the header.

        Raises OSError if the disk is full, with nothing left behind.
        """
        voxels = np.ascontiguousarray(voxels)
        frame = compress(voxels)
        digest = voxel_digest(voxels)
        header = dict(facts or {}) | {"key": key, "digest": digest, "crc": isal_zlib.crc32(frame), "bytes": len(frame)}
        header |= {"shape": list(voxels.shape), "dtype": voxels.dtype.str, "format": FORMAT}
        text = json.dumps(header, sort_keys=True).encode()
        self.sources.root.mkdir(parents=True, exist_ok=True)  # which tells this version's stores
        with atomic_write(self.path(key)) as partial, open(partial, "wb") as file:
            file.writelines([MAGIC, struct.pack("<II", len(text), isal_zlib.crc32(text)), text, frame])
        return digest

    def read(self, key: str) -> np.ndarray:
        """Voxels (z, y, x) of `key`, checksum verified. Raises StoreError if the volume is missing or damaged."""
        return self.open(key).voxels

    def open(self, key: str) -> StoredVolume:
        """Voxels and header facts of `key`, checksum verified. Raises StoreError."""
        compressed = self.read_compressed(key)
        return StoredVolume(compressed.decompress(), compressed.facts)

    def read_compressed(self, key: str) -> "CompressedVolume":
        """The volume of `key`, checksum verified but not yet decompressed. Raises StoreError."""
        return CompressedVolume(*self._verified(key))

    def size(self, key: str) -> int:
        """Bytes of the file of `key`. Raises StoreError if it is missing."""
        try:
            return self.path(key).stat().st_size
        except FileNotFoundError:
            raise self._missing(key) from None

    def verify(self, key: str) -> dict[str, Any]:
        """Header facts of `key`, after the whole file passed its checksum. Raises StoreError."""
        return self._verified(key)[0]

    def facts(self, key: str) -> dict[str, Any]:
        """Header facts of `key`, header and size checked but voxels unread: cheap enough to ask of every volume.

        Raises StoreError.
        """
        with self._opened(key) as file:
            facts = self._header(key, file)
            if os.fstat(file.fileno()).st_size != file.tell() + facts["bytes"]:
                raise self._damaged(key)
        return facts

    def _verified(self, key: str) -> tuple[dict[str, Any], memoryview]:
        with self._opened(key) as file:
            facts = self._header(key, file)
            # Into numpy's memory: it asks for huge pages, and large reads are then three times as fast.
            frame = np.empty(facts["bytes"], np.uint8)
            whole = file.readinto(frame) == len(frame) and not file.read(1)
        if not whole or isal_zlib.crc32(frame) != facts["crc"]:
            raise self._damaged(key)
        return facts, frame.data

    def _header(self, key: str, file: Any) -> dict[str, Any]:
        start = file.read(len(MAGIC) + 8)
        if len(start) < len(MAGIC) + 8 or not start.startswith(MAGIC):
            raise self._damaged(key)
        length, crc = struct.unpack("<II", start[len(MAGIC) :])
        text = file.read(length)
        if len(text) != length or isal_zlib.crc32(text) != crc:
            raise self._damaged(key)
        facts = json.loads(text)
        if facts["key"] != key:
            raise self._damaged(key, f"the file holds the volume {facts['key']}")
        return facts

    def _opened(self, key: str) -> Any:
        try:
            return open(self.path(key), "rb")
        except FileNotFoundError:
            raise self._missing(key) from None

    def _missing(self, key: str) -> StoreError:
        return StoreError(f"{self.path(key)}: the stored volume is missing")

    def _damaged(self, key: str, how: str = "its checksum or length is wrong") -> StoreError:
        return StoreError(f"{self.path(key)}: the stored volume is damaged ({how})")


def compress(voxels: np.ndarray) -> bytes:
    """A blosc2 frame of contiguous `voxels`, in one thread: the callers have threads of their own."""
    shuffle = blosc2.Filter.SHUFFLE if voxels.dtype.itemsize > 1 else blosc2.Filter.BITSHUFFLE
    cparams = {"codec": blosc2.Codec.LZ4, "filters": [shuffle], "clevel": 9, "nthreads": 1}
    cparams["typesize"] = voxels.dtype.itemsize
    return blosc2.SChunk(chunksize=CHUNK, data=voxels, contiguous=True, cparams=cparams).to_cframe()


def voxel_digest(voxels: np.ndarray) -> str:
    """Digest of shape, type and values: equal for the same image under two names."""
    digest = hashlib.blake2b(f"{voxels.shape}{voxels.dtype.str}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(voxels).data)
    return digest.hexdigest()
