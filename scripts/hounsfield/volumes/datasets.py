"""The store as MONAI datasets: read from disk in `PersistentDataset`'s place, kept in RAM by `CacheDataset`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.data import CacheDataset, Dataset
from monai.transforms import Compose

from hounsfield.volumes.store import VolumeStore


class StoredRecords(Sequence):
    """`records`, each with the volume of its `key` added, compressed, as "image" when it is asked for."""

    def __init__(self, records: Sequence[Mapping[str, Any]], store: VolumeStore):
        self.records = records
        self.store = store

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> dict[str, Any]:  # type: ignore[override]  # nobody slices it
        """The checksum is verified. Raises StoreError if the volume is missing or damaged."""
        record = self.records[index]
        return {**record, "image": self.store.read_compressed(record["key"])}


def decompress_image(record: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a compressed "image" into a tensor (1, z, y, x) of the stored type, int16 HU or uint8.

    A plain function on purpose: MONAI caches what comes before the first callable that is no `Transform`, so that
    RAM holds the compressed volumes.
    """
    return {**record, "image": torch.from_numpy(record["image"].decompress()).unsqueeze(0)}


def stored_dataset(
    records: Sequence[Mapping[str, Any]],
    store: VolumeStore,
    transforms: Sequence[Callable] = (),
    cache_gb: float = 0.0,
) -> Dataset:
    """A MONAI dataset whose items are `records`, each with its stored volume as "image", then `transforms`.

    records: each has a `key` of the store; its other entries pass through. cache_gb: GB of RAM for compressed
    volumes; the first ones that fit are kept from their first reading on, so nothing is read ahead of need. Threads
    may share it. Raises StoreError if a volume is missing or damaged.
    """
    data = StoredRecords(records, store)
    chain = Compose([decompress_image, *transforms])
    if not cache_gb:
        return Dataset(data, chain)
    fitting = volumes_that_fit(store, [record["key"] for record in records], cache_gb * 1e9)
    return CacheDataset(data, chain, cache_num=fitting, copy_cache=False, runtime_cache="threads", progress=False)


def volumes_that_fit(store: VolumeStore, keys: Sequence[str], room: float) -> int:
    """How many of the first `keys` have files of together at most `room` bytes. Raises StoreError if one is missing."""
    return int(np.searchsorted(np.cumsum([store.size(key) for key in keys]), room, side="right"))
