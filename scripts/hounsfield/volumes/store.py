"""The store: volumes on the common grid, without labels, addressed by what was read and how.

A file is a magic word, the length of a JSON header, the header, and a blosc2 frame (LZ4 after a bit shuffle: of the
formats measured, the one that reads fastest at a fifth of float32's size).
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

# Raise it when the same input and settings would give other voxels or another layout.
FORMAT = 1
MAGIC = b"HFSTORE1"
CHUNK = 64  # voxels along each axis: a 96^3 crop touches a few chunks only


@dataclass(frozen=True)
class StoredVolume:
    """What a file of the store holds: voxels (z, y, x), and the header's facts about their source."""

    voxels: np.ndarray
    facts: dict[str, Any]


class VolumeStore:
    """A folder of volumes. Several processes may write to it at once; equal keys hold equal bytes."""

    def __init__(self, root: str | os.PathLike):
        self.root = Path(root)

    def key(self, identity: str, reading: Mapping[str, Any], preprocessing: Mapping[str, Any]) -> str:
        """Address of the volume read from the file with `identity`, under canonical settings."""
        parts = {"identity": identity, "reading": reading, "preprocessing": preprocessing, "format": FORMAT}
        text = json.dumps(canonical(parts), sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def path(self, key: str) -> Path:
        """Where the volume of `key` lies."""
        return self.root / key[:2] / f"{key}.ct"

    def __contains__(self, key: str) -> bool:
        return self.path(key).is_file()

    def keys(self) -> Iterator[str]:
        """Keys of all volumes in the store."""
        return (path.stem for path in sorted(self.root.glob("??/*.ct")))

    def write(self, key: str, voxels: np.ndarray, facts: Mapping[str, Any] | None = None) -> str:
        """Store `voxels` (z, y, x), return the digest of their values; `facts` about the source go into the header.

        Raises OSError if the disk is full, with nothing left behind.
        """
        voxels = np.ascontiguousarray(voxels)
        cparams = {
            "codec": blosc2.Codec.LZ4,
            "filters": [blosc2.Filter.BITSHUFFLE],
            "clevel": 5,
            "nthreads": 1,
        }
        chunks = tuple(min(CHUNK, n) for n in voxels.shape)
        frame = blosc2.asarray(voxels, chunks=chunks, cparams=cparams).to_cframe()
        digest = voxel_digest(voxels)
        header = dict(facts or {}) | {"digest": digest, "crc": isal_zlib.crc32(frame), "bytes": len(frame)}
        text = json.dumps(header, sort_keys=True).encode()
        with atomic_write(self.path(key)) as partial, open(partial, "wb") as file:
            file.writelines([MAGIC, struct.pack("<II", len(text), isal_zlib.crc32(text)), text, frame])
        return digest

    def read(self, key: str) -> np.ndarray:
        """Voxels (z, y, x) of `key`, checksum verified. Raises StoreError if the volume is missing or damaged."""
        return self.open(key).voxels

    def open(self, key: str) -> StoredVolume:
        """Voxels and header facts of `key`, checksum verified. Raises StoreError."""
        facts, frame = self._verified(key)
        return StoredVolume(blosc2.ndarray_from_cframe(frame)[...], facts)

    def verify(self, key: str) -> dict[str, Any]:
        """Header facts of `key`, after the whole file passed its checksum. Raises StoreError."""
        return self._verified(key)[0]

    def facts(self, key: str) -> dict[str, Any]:
        """Header facts of `key`, header and size checked but voxels unread: cheap enough to ask of every volume.

        Raises StoreError.
        """
        with self._opened(key) as file:
            facts = json.loads(self._header_text(key, file))
            if os.fstat(file.fileno()).st_size != file.tell() + facts["bytes"]:
                raise self._damaged(key)
        return facts

    def read_crop(self, key: str, crop: tuple[slice, slice, slice]) -> np.ndarray:
        """Voxels within `crop` (z, y, x), decompressing only the chunks it meets; header checked, voxels not."""
        path = self.path(key)
        with self._opened(key) as file:
            start = len(MAGIC) + 8 + len(self._header_text(key, file))
        return blosc2.open(str(path), mode="r", offset=start)[crop]

    def _verified(self, key: str) -> tuple[dict[str, Any], bytes]:
        with self._opened(key) as file:
            facts = json.loads(self._header_text(key, file))
            frame = file.read()
        if len(frame) != facts["bytes"] or isal_zlib.crc32(frame) != facts["crc"]:
            raise self._damaged(key)
        return facts, frame

    def _header_text(self, key: str, file: Any) -> bytes:
        start = file.read(len(MAGIC) + 8)
        if len(start) < len(MAGIC) + 8 or not start.startswith(MAGIC):
            raise self._damaged(key)
        length, crc = struct.unpack("<II", start[len(MAGIC) :])
        text = file.read(length)
        if len(text) != length or isal_zlib.crc32(text) != crc:
            raise self._damaged(key)
        return text

    def _opened(self, key: str) -> Any:
        try:
            return open(self.path(key), "rb")
        except FileNotFoundError:
            raise StoreError(
                f"{self.path(key)}: the stored volume is missing; remove the cohort/stored tables to have it remade"
            ) from None

    def _damaged(self, key: str) -> StoreError:
        return StoreError(f"{self.path(key)}: the stored volume is damaged; remove it and the cohort/stored tables")


def voxel_digest(voxels: np.ndarray) -> str:
    """Digest of shape, type and values: equal for the same image under two names."""
    digest = hashlib.blake2b(f"{voxels.shape}{voxels.dtype.str}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(voxels))
    return digest.hexdigest()
