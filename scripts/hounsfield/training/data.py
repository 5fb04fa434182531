"""From the store to batches: the order of an epoch, a RAM cache, and threads that read ahead."""

import hashlib
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from hounsfield.training.distributed import World
from hounsfield.volumes.datasets import stored_dataset
from hounsfield.volumes.settings import PreprocessingSettings
from hounsfield.volumes.store import VolumeStore

ALONE = World()


@dataclass(frozen=True)
class Batch:
    """volumes (B, D, H, W) as stored, int16 or uint8; labels (B, P) float32, nan where unknown; rows (B,)."""

    volumes: torch.Tensor
    labels: torch.Tensor
    rows: np.ndarray


class VolumeBatches:
    """Batches of one split's volumes.

    Which volumes make which batch depends on the seed and the epoch alone; of each batch the processes of a world
    take their shares. Volumes stay in RAM, compressed, up to `cache_gb` GB; threads read ahead, since reading and
    decompressing release Python's lock.
    """

    def __init__(
        self,
        dataset: pd.DataFrame,
        pathologies: Sequence[str],
        store: VolumeStore,
        batch_size: int,
        seed: int = 0,
        sampling: str = "shuffle",
        cache_gb: float = 0.0,
        workers: int = 2,
        world: World = ALONE,
    ):
        self.names = dataset["volume"].tolist()
        self.labels = dataset[list(pathologies)].to_numpy(np.float32, copy=True)
        self.sample_seeds = np.array([sample_seed(name) for name in self.names], np.uint64)
        self.volumes = stored_dataset(dataset[["key"]].to_dict("records"), store, cache_gb=cache_gb)
        self.batch_size = batch_size
        self.seed = seed
        self.sampling = sampling
        self.workers = max(1, workers)
        self.world = world

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self._starts())

    def order(self, epoch: int) -> np.ndarray:
        """Rows of the epoch, in order."""
        random = np.random.default_rng([self.seed, epoch])
        if self.sampling == "balanced":
            return random.choice(len(self.names), len(self.names), p=balanced_weights(self.labels))
        if self.sampling == "shuffle":
            return random.permutation(len(self.names))
        return np.arange(len(self.names))

    def rows(self, epoch: int, start: int = 0) -> list[np.ndarray]:
        """Rows of each batch of the epoch, of all processes, from batch `start` on."""
        order = self.order(epoch)
        return [order[first : first + self.batch_size] for first in self._starts()[start:]]

    def _starts(self) -> range:
        """Where each batch begins; when drawn, too short a last one is left out.

        Batch norm fails on one volume, and each process needs one.
        """
        count = len(self.names)
        rest = count % self.batch_size
        short = self.sampling != "none" and 1 < self.batch_size < count and rest < max(2, self.world.size)
        return range(0, count - rest * short, self.batch_size)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """This process's shares of the epoch's batches, from batch `start` on, read ahead by two. Raises StoreError."""
        waiting: deque[Future[Batch]] = deque()
        pool = ThreadPoolExecutor(self.workers)
        try:
            shares = (self.world.share(rows) for rows in self.rows(epoch, start))
            for rows in filter(len, shares):
                volumes = [pool.submit(self.volumes.__getitem__, int(row)) for row in rows]
                # It waits for reads that were begun before it, and so never for itself.
                waiting.append(pool.submit(self._batch, rows, volumes))
                if len(waiting) > 2:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _batch(self, rows: np.ndarray, volumes: list[Future]) -> Batch:
        parts = [volume.result()["image"] for volume in volumes]
        # Pinned, so that the copy to the GPU runs beside its work.
        shape, pinned = (len(parts), *parts[0].shape[1:]), torch.cuda.is_available()
        stacked = torch.empty(shape, dtype=parts[0].dtype, pin_memory=pinned)
        # By numpy: torch would start threads of its own in this one, which spin and slow the network's down.
        np.concatenate([part.numpy() for part in parts], out=stacked.numpy())
        return Batch(stacked, torch.from_numpy(self.labels[rows]), rows)


class Waiter(Iterator):
    """Batches, with the seconds that getting them took."""

    def __init__(self, batches: Iterator[Batch]):
        self.batches = batches
        self.seconds = 0.0

    def __next__(self) -> Batch:
        """The next batch."""
        started = time.monotonic()
        batch = next(self.batches)
        self.seconds += time.monotonic() - started
        return batch


def sample_seed(volume: str) -> int:
    """A number of the volume's name, so that its augmentation depends on nothing else in the dataset."""
    return int.from_bytes(hashlib.blake2b(volume.encode(), digest_size=8).digest(), "little")


def balanced_weights(labels: np.ndarray) -> np.ndarray:
    """Probability to draw each row of `labels` (N, P): the sum over its positives of 1 / (their count), plus 1/N."""
    positive = np.nan_to_num(labels) == 1
    weights = (positive / np.maximum(positive.sum(axis=0), 1)).sum(axis=1) + 1 / len(labels)
    return weights / weights.sum()


def to_hu(volumes: torch.Tensor, preprocessing: PreprocessingSettings) -> torch.Tensor:
    """Stored voxels (B, D, H, W) to float32 HU (B, 1, D, H, W), on the device they are on."""
    hu = volumes.unsqueeze(1).float()
    if preprocessing.window:
        scale, offset = hu_of_stored(preprocessing)
        hu.mul_(scale).add_(offset)
    return hu


def hu_of_stored(preprocessing: PreprocessingSettings) -> tuple[float, float]:
    """Factor and offset that give the HU of a stored value."""
    if not preprocessing.window:
        return 1.0, 0.0
    low, high = preprocessing.window
    return (high - low) / 255, low


def to_input(hu: torch.Tensor, windows: Sequence[tuple[float, float]]) -> torch.Tensor:
    """HU (B, 1, D, H, W) to the network's input (B, C, D, H, W): each window a channel, from -1 to 1."""
    channels = [(hu - low).mul_(2 / (high - low)).sub_(1).clamp_(-1, 1) for low, high in windows]
    return channels[0] if len(channels) == 1 else torch.cat(channels, dim=1)
