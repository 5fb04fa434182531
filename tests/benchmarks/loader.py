"""From the store to augmented batches against MONAI's loader: python tests/benchmarks/loader.py.

Both sides on the same volumes, the same kinds and ranges of augmentation, two threads; MONAI reads a filled
`PersistentDataset`, with the better of no and two worker processes. Turn by turn, medians.
"""

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from monai.data import DataLoader, PersistentDataset
from monai.transforms import (
    Compose,
    Lambdad,
    RandAffined,
    RandFlipd,
    RandGaussianNoised,
    RandScaleIntensityd,
    RandShiftIntensityd,
)
from monai.utils import set_determinism
from scipy.ndimage import gaussian_filter

from hounsfield.training.augmentation import augmented_input, draw
from hounsfield.training.data import VolumeBatches
from hounsfield.training.settings import AugmentationSettings
from hounsfield.volumes.settings import PreprocessingSettings
from hounsfield.volumes.store import VolumeStore

THREADS = 2
BATCH = 4
SPACING = 2.0
WINDOW = (-1000.0, 1000.0)
AUGMENTATION = AugmentationSettings(rotation=10, translation=10, scale=(0.9, 1.1), noise=20, shift=10)


def main():
    torch.set_num_threads(THREADS)
    set_determinism(0)
    print("| augmented volumes a second | Hounsfield | from RAM | MONAI | ratio | first batch after |")
    print("|---|---|---|---|---|---|")
    for size, count in ((64, 32), (96, 24), (160, 12)):
        with tempfile.TemporaryDirectory() as folder:
            compare(size, count, Path(folder))


def compare(size, count, folder):
    store, dataset = fill(VolumeStore(folder / "store"), (size,) * 3, count)
    settings = PreprocessingSettings((SPACING,) * 3, (size,) * 3)
    batches = {gb: VolumeBatches(dataset, ["label"], store, BATCH, cache_gb=gb, workers=THREADS) for gb in (0, 4)}
    monai = PersistentDataset(
        [{"image": key} for key in dataset["key"]], monai_chain(store, (size,) * 3), folder / "monai"
    )
    list(monai)
    loaders = [DataLoader(monai, n, batch_size=BATCH, shuffle=True) for n in (0, THREADS)]
    sides = [lambda gb=gb: ours(batches[gb], settings) for gb in (0, 4)]
    sides += [lambda loader=loader: [batch["image"] for batch in loader] for loader in loaders]
    times = [[] for _ in sides]
    for _ in range(4):
        for side, seconds in zip(sides, times, strict=True):
            started = time.perf_counter()
            side()
            seconds.append(time.perf_counter() - started)
    disk, ram, *stock = (count / statistics.median(seconds[1:]) for seconds in times)
    first = first_batch(dataset, store, settings)
    print(
        f"| {size}^3 | {disk:.1f} | {ram:.1f} | {max(stock):.1f} ({' and '.join(f'{s:.1f}' for s in stock)} with 0 and "
        f"{THREADS} workers) | {disk / max(stock):.1f}x | {first:.2f} s |",
        flush=True,
    )


def ours(batches, settings):
    for batch in batches.epoch(0):
        network_input(batch, batches, settings)


def first_batch(dataset, store, settings):
    """Seconds from nothing to the first batch."""
    started = time.perf_counter()
    batches = VolumeBatches(dataset, ["label"], store, BATCH, workers=THREADS)
    network_input(next(batches.epoch(0)), batches, settings)
    return time.perf_counter() - started


def network_input(batch, batches, settings):
    draws = draw(AUGMENTATION, 0, 0, batches.sample_seeds[batch.rows])
    return augmented_input(batch.volumes, draws, settings, [WINDOW])


def monai_chain(store, shape):
    bounds = 10 / SPACING
    affine = {"rotate_range": [np.pi / 18] * 3, "translate_range": [bounds] * 3, "scale_range": [0.1] * 3}
    return Compose(
        [
            Lambdad("image", lambda key: torch.from_numpy(store.read(key)[None] / np.float32(1000)).clamp(-1, 1)),
            RandFlipd("image", prob=0.5, spatial_axis=2),
            RandAffined("image", prob=1.0, **affine, mode="bilinear", padding_mode="border", spatial_size=shape),
            RandGaussianNoised("image", prob=1.0, std=0.02),
            RandScaleIntensityd("image", factors=0.05, prob=1.0),
            RandShiftIntensityd("image", offsets=0.01, prob=1.0),
        ]
    )


def fill(store, shape, count):
    """Noisy volumes of `shape` voxels with a body in air, and their rows of a dataset."""
    noise = gaussian_filter(np.random.default_rng(0).standard_normal(shape, np.float32), (0.4, 0.8, 0.8))
    noise *= 20 / noise.std()
    hu = np.full(shape, -1000, np.float32)
    hu[tuple(slice(n // share, -n // share) for n, share in zip(shape, (8, 6, 6), strict=True))] = 0
    rows = []
    for index in range(count):
        key = f"{index:04d}"
        store.write(key, (hu + np.roll(noise, index)).astype(np.int16))
        rows.append({"volume": f"volume {index}", "key": key, "label": index % 2})
    return store, pd.DataFrame(rows)


if __name__ == "__main__":
    main()
