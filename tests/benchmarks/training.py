"""Whole epochs against the straightforward MONAI loop: python tests/benchmarks/training.py [SIZE ...].

Both sides train the same network on the same volumes with the same kinds and ranges of augmentation, in batches of
two; MONAI reads a filled `PersistentDataset` in a plain float32 loop. Turn by turn, medians. The bare step is ours on
one batch that is already there. `tests/benchmarks/gpu/training.py` has the table of a GPU.
"""

import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from loader import AUGMENTATION, SPACING, THREADS, WINDOW, fill, monai_chain
from monai.data import DataLoader, PersistentDataset
from monai.utils import set_determinism
from torch.nn.functional import binary_cross_entropy_with_logits

from hounsfield.inference.footprint import count_operations
from hounsfield.models.create import create_model
from hounsfield.training.job import TrainingJob
from hounsfield.training.settings import TrainingSettings
from hounsfield.training.trainer import prepare, train_epoch
from hounsfield.training.validation import predict_logits
from hounsfield.volumes.settings import PreprocessingSettings
from hounsfield.volumes.store import VolumeStore

BATCH = 2
ROUNDS = 3
NETWORKS = {
    "ResNet18": {"architecture": "resnet3d", "variant": "18"},
    "DenseNet121": {"architecture": "densenet3d", "variant": "121"},
    "ViT-tiny": {"architecture": "vit3d", "variant": "tiny"},
}
COLUMNS = ["network", "volumes a second", "MONAI loop", "ratio", "of the bare step", "waits for data"]
COLUMNS += ["of the matmul rate", "validation", "MONAI's", "ratio"]


def main():
    set_determinism(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    peak = matmul_rate(device)
    print(f"float32 matrix products: {peak / 1e9:.0f} GFLOP/s; first step after {first_step():.1f} s")
    print(f"\n| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for size in map(int, sys.argv[1:] or ("64", "96")):
        for (name, block), amp in itertools.product(NETWORKS.items(), precisions(device)):
            with tempfile.TemporaryDirectory() as folder:
                found = compare(block, {"amp": amp}, (size,) * 3, 16 if size <= 64 else 8, Path(folder), device)
            print(f"| {name}, {size}^3{', bf16' * (amp == 'bf16')} | {' | '.join(cells(found, peak))} |", flush=True)


def precisions(device):
    """bf16 too where the hardware has it: a CPU without makes it many times slower."""
    able = device.type == "cuda" or "avx512_bf16" in Path("/proc/cpuinfo").read_text()
    return ("off", "bf16") if able else ("off",)


@dataclass(frozen=True)
class Comparison:
    """Volumes a second of each side, the share of the epoch spent waiting, FLOPs of one volume's training step."""

    speed: dict[str, float]
    waiting: float
    flops: float


def compare(block, training, shape, count, folder, device):
    """Train and validate `count` volumes each with both sides, turn by turn."""
    store, dataset = fill(VolumeStore(folder / "store"), shape, 2 * count)
    dataset["split"] = np.repeat(["train", "val"], count)
    job = make_job(dataset, store, block, training, shape, folder)
    training, state = prepare(job)
    monai = Stock(job, folder / "monai", device)
    step = bare_step(job, device)
    waits = []

    def epoch():
        state.epoch_step, state.loss_sum = 0, 0.0
        waits.append(train_epoch(state, training)["data_wait_share"])

    def validation():
        predict_logits(state.model, training.val, job.preprocessing, job.training.windows, training.precision)

    def bare():
        for _ in range(count // BATCH):
            step()

    sides = {"epoch": epoch, "stock epoch": monai.epoch, "bare": bare}
    sides |= {"validation": validation, "stock validation": monai.validation}
    times = {name: [] for name in sides}
    for _ in range(ROUNDS + 1):
        for name, side in sides.items():
            times[name].append(seconds(side, device))
    speed = {name: count / statistics.median(each[1:]) for name, each in times.items()}
    return Comparison(speed, statistics.median(waits[1:]), count_operations(step) / BATCH)


def cells(found, peak):
    speed = found.speed
    return [
        f"{speed['epoch']:.2f}",
        f"{speed['stock epoch']:.2f}",
        f"{speed['epoch'] / speed['stock epoch']:.2f}x",
        f"{speed['epoch'] / speed['bare']:.2f}",
        f"{100 * found.waiting:.1f} %",
        f"{100 * found.flops * speed['bare'] / peak:.0f} %",
        f"{speed['validation']:.1f}",
        f"{speed['stock validation']:.1f}",
        f"{speed['validation'] / speed['stock validation']:.2f}x",
    ]


class Stock:
    """MONAI's datasets and dictionary transforms in the loop of its tutorials."""

    def __init__(self, job, folder, device, workers=0):
        self.device = device
        self.workers = workers
        chain = monai_chain(job.store, job.preprocessing.shape)
        self.train = self._loader(job.rows("train"), chain, folder / "train", shuffle=True)
        self.val = self._loader(job.rows("val"), chain.transforms[0], folder / "val", shuffle=False)
        self.model = create_model(job.model, 1).to(device)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4)

    def _loader(self, rows, chain, folder, shuffle):
        records = [{"image": key, "label": float(label)} for key, label in zip(rows["key"], rows["label"], strict=True)]
        dataset = PersistentDataset(records, chain, folder)  # the first epoch, which is not timed, fills it
        kept = self.workers > 0
        return DataLoader(dataset, self.workers, batch_size=BATCH, shuffle=shuffle, persistent_workers=kept)

    def epoch(self):
        self.model.train()
        for batch in self.train:
            self.optimizer.zero_grad()
            logits = self.model(batch["image"].to(self.device))
            loss = binary_cross_entropy_with_logits(logits[:, 0], batch["label"].float().to(self.device))
            loss.backward()
            self.optimizer.step()
            loss.item()

    def validation(self):
        self.model.eval()
        with torch.no_grad():
            for batch in self.val:
                self.model(batch["image"].to(self.device)).cpu()


def make_job(dataset, store, block, training, shape, folder, threads=THREADS):
    training = {"batch_size": BATCH, "windows": [WINDOW], "augmentation": vars(AUGMENTATION)} | training
    preprocessing = PreprocessingSettings((SPACING,) * 3, shape)
    settings = TrainingSettings.from_config(training)
    return TrainingJob(folder / "run", dataset, ("label",), store, preprocessing, settings, block, threads=threads)


def bare_step(job, device):
    """A function that takes a step on one batch that is there already, as the trainer would."""
    training, state = prepare(job)
    x = torch.randn(BATCH, 1, *job.preprocessing.shape, device=device)
    x = training.precision.layout(x)

    def step():
        with training.precision.autocast():
            loss = state.model(x).float().mean()
        loss.backward()
        state.optimizer.step()
        state.optimizer.zero_grad(set_to_none=True)

    return step


def seconds(work, device):
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def matmul_rate(device, dtype=torch.float32):
    """Operations a second of a large matrix product."""
    a, b = torch.randn(2, 4096, 4096, device=device, dtype=dtype)
    return 2 * 4096**3 / min(seconds(lambda: a @ b, device) for _ in range(4))


def first_step():
    """Seconds from the start of a process to the end of its first optimizer step."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        subprocess.run([sys.executable, __file__, "--first-step", folder], check=True)
        return time.perf_counter() - started


def take_first_step(folder):
    store, dataset = fill(VolumeStore(folder / "store"), (64, 64, 64), 4)
    dataset["split"] = ["train", "train", "val", "val"]
    training, state = prepare(make_job(dataset, store, NETWORKS["ResNet18"], {}, (64, 64, 64), folder))
    train_epoch(state, training)


if __name__ == "__main__":
    torch.set_num_threads(THREADS)
    if sys.argv[1:2] == ["--first-step"]:
        take_first_step(Path(sys.argv[2]))
    else:
        main()
