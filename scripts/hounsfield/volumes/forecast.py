"""What preprocessing will take, said before the first volume is read: bytes of the store, free disk, time."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hounsfield.volumes.settings import PreprocessingSettings
from hounsfield.volumes.store import VolumeStore

# Measured on chest CT with tests/benchmarks/store.py, and rounded to the dearer side. Compression leaves more of
# small volumes, whose neighbouring voxels differ more.
COMPRESSED_SHARE = 0.5
SOURCE_BYTES_PER_S = 120e6  # of compressed files, by one core: reading, HU and resampling
STORED_VOXELS_PER_S = 200e6  # encoded, compressed and digested by one core
SAMPLED_FILES = 20


@dataclass(frozen=True)
class Forecast:
    """volumes: those that are not yet stored. bytes: what they will add. free: bytes of disk. seconds: of one core."""

    volumes: int
    bytes: float
    free: int
    seconds: float

    @property
    def fits(self) -> bool:
        """Whether the disk has room."""
        return self.bytes <= self.free

    def __str__(self) -> str:
        return (
            f"{self.volumes} volumes to store: about {self.bytes / 1e9:.2f} GB of {self.free / 1e9:.1f} GB free, "
            f"about {self.seconds / 3600:.2f} hours of one core"
        )


def forecast(paths: Sequence[str], store: VolumeStore, settings: PreprocessingSettings) -> Forecast:
    """Forecast for the files or DICOM folders `paths`; the sizes of a few of them stand for all."""
    voxels = len(paths) * float(np.prod(settings.shape))
    store.root.mkdir(parents=True, exist_ok=True)
    sample = [Path(path) for path in paths[:: max(1, len(paths) // SAMPLED_FILES)]]
    source = len(paths) * float(np.mean([size_on_disk(path) for path in sample])) if sample else 0.0
    return Forecast(
        volumes=len(paths),
        bytes=voxels * np.dtype(settings.dtype).itemsize * COMPRESSED_SHARE,
        free=shutil.disk_usage(store.root).free,
        seconds=source / SOURCE_BYTES_PER_S + voxels / STORED_VOXELS_PER_S,
    )


def size_on_disk(path: Path) -> int:
    """Bytes of a file, or of the files of a folder; 0 if it is not there, as reading it will say so."""
    if path.is_dir():
        return sum(entry.stat().st_size for entry in path.iterdir() if entry.is_file())
    return path.stat().st_size if path.exists() else 0
