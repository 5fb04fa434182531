"""What training costs on this machine, measured by the training code itself on volumes of noise."""

import ctypes
import gc
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import torch

from hounsfield.config import merged
from hounsfield.memory import peak_memory_mb
from hounsfield.planning.grids import Grid
from hounsfield.training.job import TrainingJob
from hounsfield.training.settings import TrainingSettings
from hounsfield.training.trainer import prepare, train_epoch
from hounsfield.volumes.settings import PreprocessingSettings
from hounsfield.volumes.store import VolumeStore

TIMED = 4  # steps after a first one; the fastest counts, as other work on the machine only ever slows one down
STEEPEST = 2.0  # attention's memory and time grow with the square of the voxels
SPEED_UP = 0.7  # of each further core
STATE_BYTES = 16  # of a parameter in training: float32 weight, gradient, and AdamW's two moments


@dataclass(frozen=True)
class Cost:
    """seconds: of a training volume. bytes: of memory for each volume of a batch. fixed: bytes for the network."""

    seconds: float
    bytes: float
    fixed: float


Measure = Callable[[str, Grid, int, bool], Cost]


@dataclass
class Costs:
    """Costs by model, gradient checkpointing and grid: measured at `probes` and where `refine` is called.

    measure: from a model's name, a grid, a batch and whether activations are computed again, to the cost.
    """

    measure: Measure
    probes: tuple[Grid, ...]
    known: dict[tuple[str, bool], dict[int, Cost]] = field(default_factory=dict)

    def of(self, name: str, grid: Grid, recompute: bool) -> Cost:
        """Cost on `grid`; between and beyond the measured ones, by the power law of the two nearest."""
        points = self.known.setdefault((name, recompute), {})
        for probe in self.probes if not points else ():
            points[probe.voxels] = self._measured(name, probe, 2, recompute, Cost(0.0, math.inf, 0.0))
        return power_law(points, grid.voxels)

    def refine(self, name: str, grid: Grid, batch: int, recompute: bool) -> bool:
        """Measure on `grid` unless that was done; whether it had to be."""
        points = self.known.setdefault((name, recompute), {})
        fresh = grid.voxels not in points
        if fresh:
            expected = power_law(points, grid.voxels)
            points[grid.voxels] = self._measured(name, grid, batch, recompute, replace(expected, bytes=math.inf))
        return fresh

    def _measured(self, name: str, grid: Grid, batch: int, recompute: bool, too_large: Cost) -> Cost:
        """The measured cost; `too_large` where the GPU's memory ran out."""
        try:
            return self.measure(name, grid, batch, recompute)
        except torch.OutOfMemoryError:
            return too_large


def power_law(points: Mapping[int, Cost], voxels: int) -> Cost:
    """Cost of a volume of `voxels`, of those measured at other sizes; beyond them it grows at least in proportion."""
    if voxels in points:
        return points[voxels]
    nearest = sorted(points, key=lambda known: abs(math.log(known / voxels)))[:2]
    low, high = points[min(nearest)], points[max(nearest)]
    base = nearest[0]
    ratio = max(nearest) / min(nearest)

    def scaled(name: str) -> float:
        before, after = getattr(low, name), getattr(high, name)
        growth = math.log(after / before) / math.log(ratio) if ratio > 1 and before > 0 and after > 0 else 1.0
        growth = min(STEEPEST, max(growth, 1.0 if voxels > base else 0.0))
        return getattr(points[base], name) * (voxels / base) ** growth

    return Cost(scaled("seconds"), scaled("bytes"), points[base].fixed)


def measure_training(
    block: Mapping[str, Any],
    training: Mapping[str, Any],
    labels: int,
    grid: Grid,
    batch: int,
    threads: int,
    busy: bool = False,
) -> Cost:
    """Train the model of `block` for a few steps on volumes of noise of `grid`, `labels` labels each.

    training: the training block with the model's changes. busy: whether other work takes the cores: threads that wait
    for one another then tell nothing, and the time is that of one core's work, divided by what more cores would give.
    Raises ConfigError, and torch's error if memory is short.
    """
    changes = {"batch_size": batch, "accumulate": 1, "gpu": 1, "nodes": 1, "compile": False, "cache_gb": 1}
    own = {key: value for key, value in block.items() if key not in ("training", "tune")} | {"weights": None}
    names = tuple(f"label {number}" for number in range(labels))
    with TemporaryDirectory() as folder:
        store = VolumeStore(folder)
        job = TrainingJob(
            directory=Path(folder),
            dataset=_noise(store, grid, names, batch),
            pathologies=names,
            store=store,
            preprocessing=PreprocessingSettings(grid.spacing, grid.shape),
            training=TrainingSettings.from_config(merged(dict(training), changes)),
            block=own,
            threads=1 if busy else threads,
        )
        return _measure(job, time.process_time, 1 + SPEED_UP * (threads - 1)) if busy else _measure(job)


def _noise(store: VolumeStore, grid: Grid, labels: tuple[str, ...], count: int) -> pd.DataFrame:
    """A dataset of `count` training rows and one for validation, all of one volume."""
    hu = np.random.default_rng(0).normal(-300, 400, grid.shape).clip(-1000, 1000).astype(np.int16)
    store.write("noise", hu)
    splits = ["train"] * count + ["val"]
    rows = {"volume": [f"noise {number}" for number in range(count + 1)], "key": "noise", "split": splits}
    return pd.DataFrame(rows).assign(**{name: np.arange(count + 1) % 2 for name in labels})


def _measure(job: TrainingJob, clock: Callable[[], float] = time.perf_counter, speed_up: float = 1.0) -> Cost:
    base = _reset_peak()
    training, state = prepare(job)
    seconds = []
    for epoch in range(1 + TIMED):  # each of one step
        state.epoch, state.epoch_step, state.loss_sum = epoch, 0, 0.0
        started = clock()
        train_epoch(state, training)  # ends by waiting for the losses, and so for the GPU
        seconds.append((clock() - started) / speed_up / job.training.batch_size)
        if epoch == 0:
            _reset_peak()  # compiling and choosing algorithms takes memory of its own
    fixed = STATE_BYTES * sum(parameter.numel() for parameter in state.model.parameters())
    peak = _peak() - base - fixed
    return Cost(min(seconds[1:]), max(0.0, peak) / job.training.batch_size, fixed)


def _reset_peak() -> float:
    """Start a new peak, and return the bytes in use now."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    else:
        ctypes.CDLL(None).malloc_trim(0)  # memory that was freed before would hide what is taken now
        Path("/proc/self/clear_refs").write_text("5")  # proc(5): VmHWM starts anew
    return _peak()


def _peak() -> float:
    return float(torch.cuda.max_memory_allocated()) if torch.cuda.is_available() else peak_memory_mb() * 2**20
