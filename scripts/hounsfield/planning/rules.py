"""The rules: each a value and, in one line, its reason. Pure functions; what they know is in their arguments."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hounsfield.models.vit3d import VARIANTS as TRANSFORMERS
from hounsfield.planning.cost import Cost
from hounsfield.planning.grids import Grid
from hounsfield.planning.machine import Machine

PRESENTATIONS = 15_000  # volumes seen in all, of a cohort of medium size
FEWEST_EPOCHS, MOST_EPOCHS = 10, 60
TRANSFORMER_EPOCHS = 2
STEPS_PER_EPOCH = 25
SMALLEST_BATCH, LARGEST_BATCH = 4, 32  # of an optimizer step; batch norms want four volumes at once
RATE, RATE_BATCH, RATE_WIDTH = 1e-3, 16, 192
FROM_WEIGHTS = 0.3
DISK_SHARE = 0.8
GPU_SHARE = 0.9
JOB_BYTES = 16e9  # what the rule `train` asks a scheduler for
CACHE_SHARE, CPU_SHARE = 0.375, 0.5  # of a job's memory; the rest is for the process itself
MOST_THREADS = 16
ANTIALIAS_FROM = 1.5


@dataclass(frozen=True)
class Choice:
    """A value of the configuration, and the reason for it: one line."""

    value: Any
    reason: str


def epochs(n_train: int) -> Choice:
    """A fixed number of presentations, within bounds: small cohorts are seen more often, and overfit in the end."""
    value = min(MOST_EPOCHS, max(FEWEST_EPOCHS, round(PRESENTATIONS / n_train)))
    return Choice(value, f"{n_train} training volumes, seen {value * n_train:,} times in all")


def times_epochs(block: Mapping[str, Any]) -> int:
    """How many times the epochs of the others a model takes.

    A transformer is not born knowing that neighbours belong together, and is trained for longer (Touvron et al., 2021).
    """
    return TRANSFORMER_EPOCHS if block["architecture"] == "vit3d" and not block.get("weights") else 1


def own_epochs(epochs: int, block: Mapping[str, Any]) -> Choice:
    """Of a model that takes longer than the others."""
    return Choice(times_epochs(block) * epochs, f"{times_epochs(block)} x {epochs}, as transformers learn slowly")


def warmup_epochs(count: int) -> Choice:
    """A twentieth of all epochs, at least one, or half of it where there is but one."""
    value = max(1, round(count / 20)) if count > 1 else 0.5
    return Choice(value, "a twentieth of the epochs, at least one")


def patience(count: int) -> Choice:
    """Half of the epochs: the cosine's low end is where validation settles, so training must be let to reach it."""
    return Choice(max(10, math.ceil(count / 2)), "half of the epochs, as the last ones, of a low rate, are the best")


def effective_batch(n_train: int, processes: int = 1) -> Choice:
    """The power of two that leaves about STEPS_PER_EPOCH steps an epoch, within bounds."""
    wanted = 2 ** math.floor(math.log2(max(1.0, n_train / STEPS_PER_EPOCH)))
    value = max(min(LARGEST_BATCH, max(SMALLEST_BATCH, wanted)), 2 * processes)
    steps = -(-n_train // value)
    return Choice(value, f"{value} volumes an optimizer step: {steps} steps an epoch")


def memory_room(machine: Machine, jobs: int) -> float:
    """Bytes for the network and its activations: of a GPU, or of the memory of one of `jobs` at once."""
    if machine.gpus:
        return GPU_SHARE * machine.gpu_memory
    return CPU_SHARE * min(machine.memory / jobs, JOB_BYTES)


def batch_that_fits(cost: Cost, room: float, wanted: int, processes: int = 1) -> int:
    """The largest of wanted, wanted / 2, ... that fits into `room` bytes a process; 0 if not even two do."""
    batch = wanted
    while batch >= 2 * processes:
        if cost.fixed + math.ceil(batch / processes) * cost.bytes <= room:
            return batch
        batch //= 2
    return 0


def batch_size(batch: int, wanted: int, cost: Cost, room: float, where: str) -> Choice:
    """The reason for a batch of `batch_that_fits`."""
    need = f"{cost.bytes / 1e9:.2g} GB a volume of {room / 1e9:.3g} GB for training on {where}"
    if batch == wanted:
        return Choice(batch, f"all of the step at once: {need}")
    return Choice(batch, f"what fits: {need}")


def accumulate(batch: int, wanted: int) -> Choice:
    """Batches in an optimizer step."""
    count = max(1, wanted // batch)
    return Choice(count, f"{batch} x {count} volumes an optimizer step")


def gradient_checkpointing(on: bool) -> Choice:
    """Only where a batch does not fit without it."""
    reason = "a batch fits only so; a step takes about a third longer" if on else "a batch fits without it"
    return Choice(on, reason)


def learning_rate(effective: int, block: Mapping[str, Any]) -> Choice:
    """RATE at RATE_BATCH; with the square root of the batch, as Adam wants (Malladi et al., 2022).

    A transformer's falls with its width (Yang et al., 2022), that of weights trained elsewhere to a third.
    """
    value, why = RATE * math.sqrt(effective / RATE_BATCH), [f"{RATE:g} x sqrt({effective} / {RATE_BATCH})"]
    if block["architecture"] == "vit3d":
        width = (TRANSFORMERS[block["variant"]] | dict(block.get("options", {})))["hidden_size"]
        value *= RATE_WIDTH / width
        why.append(f"{RATE_WIDTH} / {width} for the transformer's width")
    if block.get("weights"):
        value *= FROM_WEIGHTS
        why.append(f"{FROM_WEIGHTS} as it starts from weights")
    return Choice(float(f"{value:.2g}"), " x ".join(why))


def spacing(grid: Grid, finest: Sequence[float], limit: str) -> Choice:
    """`limit`: what kept the voxels from being finer."""
    source = " x ".join(f"{mm:.3g}" for mm in finest)
    return Choice(list(grid.spacing), f"{limit}; the scans' median is {source} mm")


def shape(grid: Grid, view: Sequence[float], multiple: Sequence[int]) -> Choice:
    """The field of view in voxels."""
    mm = " x ".join(f"{length:.0f}" for length in view)
    sides = str(multiple[0]) if len(set(multiple)) == 1 else " x ".join(map(str, multiple))
    return Choice(
        list(grid.shape), f"95 % of bodies and a margin, within the scans: {mm} mm; rounded to multiples of {sides}"
    )


def antialias(grid: Grid, finest: Sequence[float]) -> Choice:
    """Averaging pays where a voxel stands for several."""
    factor = max(mm / source for mm, source in zip(grid.spacing, finest, strict=True))
    on = bool(factor >= ANTIALIAS_FROM)
    return Choice(on, f"voxels up to {factor:.1f} times those of the scans" + (": averaged, not picked" if on else ""))


def stored_type(int16_bytes: float, disk: float, windows: Sequence[Sequence[float]]) -> tuple[Choice, Choice | None]:
    """dtype, and the window that uint8 needs: int16 unless it would take more than DISK_SHARE of the free disk."""
    need = f"{int16_bytes / 1e9:.3g} GB as int16, {disk / 1e9:.3g} GB of disk free"
    if int16_bytes <= DISK_SHARE * disk:
        return Choice("int16", need), None
    low, high = min(window[0] for window in windows), max(window[1] for window in windows)
    step = (high - low) / 255
    return Choice("uint8", f"{need}: half as much"), Choice(
        [low, high], f"all training windows, in steps of {step:.1f} HU"
    )


def cache_gb(bytes_read: float, machine: Machine, jobs: int) -> Choice:
    """Room for all volumes that a training reads, within the job's memory."""
    need, most = 1.1 * bytes_read / 1e9, CACHE_SHARE * min(machine.memory / jobs, JOB_BYTES) / 1e9
    if need <= most:
        value = max(0.5, math.ceil(need * 2) / 2)
        return Choice(value, f"all of training and validation, {bytes_read / 1e9:.2g} GB as stored")
    value = math.floor(most * 2) / 2
    return Choice(value, f"what a job of {JOB_BYTES / 1e9:.0f} GB can spare; the rest, of {need:.3g} GB, is read anew")


def threads(machine: Machine, jobs: int) -> Choice:
    """Cores of each of `jobs` trainings at once."""
    value = max(1, min(MOST_THREADS, machine.cores // jobs))
    return Choice(value, f"{machine.cores} cores, {jobs} training{'s' if jobs > 1 else ''} at a time")


def amp(machine: Machine) -> Choice:
    """`auto` knows the GPU."""
    return Choice("auto", f"bf16 where the GPU has it: {machine.gpu_name}" if machine.gpus else "no GPU: float32")
