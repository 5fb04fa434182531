"""Preprocessing and the store against the usual MONAI chain: python tests/benchmarks/store.py.

Both sides in one run and one thread a process, turn by turn, medians; the limit in its own column. The volume is the
real chest CT enlarged to 512 x 512 x 250 with a scanner's correlated noise where it is at hand, else a phantom of it.
"""

import gc
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel
import numpy as np
import torch
from isal import igzip
from monai.data import PersistentDataset
from monai.transforms import Compose, LoadImaged, Orientationd, ResizeWithPadOrCropd, ScaleIntensityRanged, Spacingd
from scipy.ndimage import gaussian_filter, zoom

from hounsfield.volumes import read_volume
from hounsfield.volumes.resample import resample
from hounsfield.volumes.settings import PreprocessingSettings
from hounsfield.volumes.store import VolumeStore

CHEST = Path(__file__).parents[2].parent / "shared/data/chest/chest_cta.nii.gz"
TARGETS = {
    "96^3": ((4.0, 4.0, 4.0), (96, 96, 96)),
    "160^3": ((2.0, 2.0, 2.0), (160, 160, 160)),
    "240x480x480": ((1.5, 0.75, 0.75), (240, 480, 480)),
}
TURNS = 5


def main():
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        path = write_volume(Path(folder) / "volume.nii.gz", 250)
        print(f"source: 512 x 512 x 250 int16, {path.stat().st_size / 1e6:.0f} MB gzipped\n")
        print("| work | Hounsfield | MONAI | ratio | limit |\n|---|---|---|---|---|")
        for name, (spacing, shape) in TARGETS.items():
            compare_preprocessing(name, path, spacing, shape)
        two_processes(path)
        for name, (spacing, shape) in TARGETS.items():
            compare_store(name, path, spacing, shape, Path(folder))
        memory(write_volume(Path(folder) / "long.nii.gz", 600))


def compare_preprocessing(name, path, spacing, shape):
    settings, chain = PreprocessingSettings(spacing, shape), monai_chain(spacing, shape)
    ours = lambda: resample(read_volume(path), settings)  # noqa: E731
    ours()  # compiles
    mine, stock, limit = medians(ours, lambda: chain({"image": str(path)}), lambda: igzip.decompress(path.read_bytes()))
    row(f"to {name}", f"{mine:.2f} s", f"{stock:.2f} s", stock / mine, f"gunzip {limit:.2f} s: {mine / limit:.2f}x")


def two_processes(path):
    """Volumes a second of two processes at once."""
    for name, (spacing, shape) in list(TARGETS.items())[1:]:
        rates = []
        for side in ("ours", "monai"):
            command = [sys.executable, __file__, side, str(path), repr(spacing), repr(shape)]
            workers = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) for _ in range(2)]
            rates.append(sum(float(worker.communicate()[0]) for worker in workers))
        row(f"to {name}, two processes", f"{rates[0]:.2f}/s", f"{rates[1]:.2f}/s", rates[0] / rates[1], "")


def work(side, path, spacing, shape):
    """A process of `two_processes`: prints its volumes a second over 12 s, after one to warm up."""
    torch.set_num_threads(1)
    settings, chain = PreprocessingSettings(spacing, shape), monai_chain(spacing, shape)
    turn = {"ours": lambda: resample(read_volume(path), settings), "monai": lambda: chain({"image": path})}[side]
    turn()
    started, turns = time.perf_counter(), 0
    while time.perf_counter() - started < 12:
        turn()
        turns += 1
    print(turns / (time.perf_counter() - started))


def compare_store(name, path, spacing, shape, folder):
    chain = monai_chain(spacing, shape)
    voxels = resample(read_volume(path), PreprocessingSettings(spacing, shape))
    store, cache = VolumeStore(folder / name), folder / f"{name}-monai"
    dataset = PersistentDataset([{"image": str(path)}], chain, cache_dir=cache)
    kept = dataset[0]["image"]
    store.write("ab00", voxels)
    (stock_file,) = cache.glob("*.pt")
    sizes = [file.stat().st_size / 1e6 for file in (store.path("ab00"), stock_file)]
    row(f"bytes of {name}", f"{sizes[0]:.1f} MB", f"{sizes[1]:.1f} MB", sizes[1] / sizes[0], "")
    small = PreprocessingSettings(spacing, shape, "uint8", (-1000.0, 1000.0))
    store.write("ab01", resample(read_volume(path), small))
    size = store.size("ab01") / 1e6
    row(f"the same as uint8 over 2000 HU, {name}", f"{size:.1f} MB", f"{sizes[1]:.1f} MB", sizes[1] / size, "")
    times = medians(lambda: store.write("ab00", voxels), lambda: torch.save(kept, folder / "x.pt"), voxels.copy)
    milliseconds(f"write {name}, flushed to disk", times, "memcpy")
    times = medians(lambda: store.read("ab00"), lambda: dataset[0], voxels.copy)
    milliseconds(f"warm read {name}, checksum verified", times, "memcpy")
    cold = [
        lambda file=file, read=read: (evict(file), read())
        for file, read in ((store.path("ab00"), lambda: store.read("ab00")), (stock_file, lambda: dataset[0]))
    ]
    disk = lambda: (evict(store.path("ab00")), store.path("ab00").read_bytes())  # noqa: E731
    milliseconds(f"cold read {name}", medians(*cold, disk), "disk")


def memory(path):
    """Peak of a fresh process that takes a volume of 512 x 512 x 600 to the largest target."""
    lines = [
        "from hounsfield.volumes import read_volume; from hounsfield.volumes.resample import *",
        "peak = lambda: int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0]) / 2**20",
        "before = peak()",
        f"resample(read_volume({str(path)!r}), PreprocessingSettings(*{TARGETS['240x480x480']!r}))",
        "print(f'{peak():.2f} GiB, {before:.2f} of them libraries')",
    ]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    row("peak memory, 512 x 512 x 600 to 240x480x480", done.stdout.strip(), "", None, "")


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


def write_volume(path, slices):
    if CHEST.exists():
        source = np.asarray(nibabel.load(CHEST).dataobj, np.float32)
    else:
        axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in (128, 128, 64)], indexing="ij")
        source = np.where(sum(axis**2 for axis in axes) < 0.8, 40.0, -1000.0).astype(np.float32)
    hu = zoom(source, [n / m for n, m in zip((512, 512, slices), source.shape, strict=True)], order=1)
    noise = gaussian_filter(np.random.default_rng(0).normal(0, 1, hu.shape).astype(np.float32), (0.8, 0.8, 0.4))
    hu += noise * (12 / noise.std())
    affine = np.diag([-0.7, -0.7, 1.25, 1.0])
    nibabel.save(nibabel.Nifti1Image(hu.astype(np.int16), affine), path)
    return path


def evict(path):
    """Drop a file from the page cache."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def medians(*sides):
    """Seconds of each side, turn by turn."""
    times = [[] for _ in sides]
    for _ in range(TURNS):
        for side, seconds in zip(sides, times, strict=True):
            gc.collect()
            started = time.perf_counter()
            side()
            seconds.append(time.perf_counter() - started)
    return [statistics.median(seconds) for seconds in times]


def milliseconds(what, times, limit):
    mine, stock, least = (1e3 * seconds for seconds in times)
    row(what, f"{mine:.1f} ms", f"{stock:.1f} ms", stock / mine, f"{limit} {least:.1f} ms")


def row(what, ours, stock, ratio, limit):
    print(f"| {what} | {ours} | {stock} | {'' if ratio is None else f'{ratio:.1f}x'} | {limit} |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        work(
            sys.argv[1],
            sys.argv[2],
            *(tuple(map(float, text.strip("()").split(","))) for text in sys.argv[3:4]),
            tuple(int(n) for n in sys.argv[4].strip("()").split(",")),
        )
    else:
        main()
