"""Preprocessing and the store against the usual MONAI chain: python tests/benchmarks/store.py.

Both sides in one run, one thread, medians of a few turns; gunzip alone is the limit of the first table. The volume is
the real chest CTA enlarged to 512 x 512 x 250 where it is at hand, else a phantom of noise and shapes.
"""

import gc
import statistics
import tempfile
import time
from pathlib import Path

import nibabel
import numpy as np
import torch
from isal import igzip
from monai.data import PersistentDataset
from monai.transforms import Compose, LoadImaged, Orientationd, ResizeWithPadOrCropd, ScaleIntensityRanged, Spacingd
from scipy.ndimage import zoom

from hounsfield.volumes import read_volume
from hounsfield.volumes.resample import resample
from hounsfield.volumes.settings import PreprocessingSettings
from hounsfield.volumes.store import VolumeStore

CHEST = Path(__file__).parents[2].parent / "shared/data/chest/chest_cta.nii.gz"
TARGETS = {"160^3": ((2.0, 2.0, 2.0), (160, 160, 160)), "240x480x480": ((1.5, 0.75, 0.75), (240, 480, 480))}
TURNS = 3


def main():
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        path = write_volume(Path(folder) / "volume.nii.gz")
        gunzip = median(lambda: igzip.decompress(path.read_bytes()))
        print(f"gunzip alone: {gunzip:.2f} s")
        for name, (spacing, shape) in TARGETS.items():
            compare(name, path, spacing, shape, Path(folder), gunzip)


def compare(name, path, spacing, shape, folder, gunzip):
    settings = PreprocessingSettings(spacing, shape)
    chain = monai_chain(spacing, shape)
    resample(read_volume(path), settings)  # compiles
    ours = median(lambda: resample(read_volume(path), settings))
    stock = median(lambda: chain({"image": str(path)}))
    print(f"{name}: preprocessing {ours:.2f} s, MONAI {stock:.2f} s: {stock / ours:.1f}x; {ours / gunzip:.2f}x gunzip")
    voxels = resample(read_volume(path), settings)
    store = VolumeStore(folder / name)
    write = median(lambda: store.write("ab00", voxels))
    read = median(lambda: store.read("ab00"))
    dataset = PersistentDataset([{"image": str(path)}], chain, cache_dir=folder / f"{name}-monai")
    dataset[0]
    stock_read = median(lambda: dataset[0])
    size = store.path("ab00").stat().st_size / 1e6
    stock_size = sum(file.stat().st_size for file in (folder / f"{name}-monai").glob("*.pt")) / 1e6
    print(f"{name}: store {size:.1f} MB, MONAI {stock_size:.1f} MB: {stock_size / size:.1f}x smaller")
    print(
        f"{name}: write {write * 1e3:.0f} ms; warm read {read * 1e3:.0f} ms, MONAI {stock_read * 1e3:.0f} ms: "
        f"{stock_read / read:.1f}x"
    )


def monai_chain(spacing, shape):
    return Compose(
        [
            LoadImaged("image", ensure_channel_first=True),
            Orientationd("image", "LPS", labels=None),
            Spacingd("image", spacing[::-1], mode="bilinear"),
            ScaleIntensityRanged("image", -1000, 1000, -1, 1, clip=True),
            ResizeWithPadOrCropd("image", shape[::-1], constant_values=-1),
        ]
    )


def write_volume(path):
    if CHEST.exists():
        source = np.asarray(nibabel.load(CHEST).dataobj, np.float32)
    else:
        axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in (128, 128, 64)], indexing="ij")
        source = np.where(sum(axis**2 for axis in axes) < 0.8, 40.0, -1000.0).astype(np.float32)
    hu = zoom(source, [n / m for n, m in zip((512, 512, 250), source.shape, strict=True)], order=1)
    hu += np.random.default_rng(0).normal(0, 12, hu.shape).astype(np.float32)
    affine = np.diag([-0.7, -0.7, 1.25, 1.0])
    nibabel.save(nibabel.Nifti1Image(hu.astype(np.int16), affine), path)
    return path


def median(work):
    times = []
    for _ in range(TURNS):
        gc.collect()
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


if __name__ == "__main__":
    main()
