"""Training: from a job to best.pth, final.pth and history.tsv, resumable at every step."""

import logging
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.nn.utils import clip_grad_norm_

from hounsfield.errors import HounsfieldError
from hounsfield.models.create import create_model
from hounsfield.progress import progress
from hounsfield.tables import write_table
from hounsfield.training.augmentation import augment, draw
from hounsfield.training.checkpoints import find_latest_checkpoint, save_checkpoint, save_last
from hounsfield.training.data import Batch, VolumeBatches, to_hu, to_input
from hounsfield.training.interruption import Interrupted, Interruption, catch_signals
from hounsfield.training.job import TrainingJob
from hounsfield.training.losses import Loss, create_loss
from hounsfield.training.precision import Precision
from hounsfield.training.schedule import learning_rate
from hounsfield.training.state import TrainingState, seed_everything
from hounsfield.training.tracking import Tracker
from hounsfield.training.validation import predict_logits, validation_metrics

log = logging.getLogger(__name__)

# Looking at a loss makes the CPU wait for the GPU, so they are looked at together.
WINDOWS_BETWEEN_CHECKS = 20


class TrainingError(HounsfieldError):
    """Training that cannot go on."""


@dataclass
class Training:
    """What the functions of the loop share."""

    job: TrainingJob
    precision: Precision
    loss: Loss
    train: VolumeBatches
    val: VolumeBatches
    interruption: Interruption = field(default_factory=Interruption)
    saved_at: float = field(default_factory=time.monotonic)
    unchecked: list[tuple[torch.Tensor, np.ndarray]] = field(default_factory=list)

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps."""
        return -(-len(self.train) // self.job.training.accumulate)


def train_model(job: TrainingJob) -> None:
    """Train to the end, going on from last.pth if it is this job's, and write the results into `job.directory`.

    Raises TrainingError, TableError, StoreError, ConfigError or CheckpointError; Interrupted after a signal.
    """
    precision = Precision.choose(job.training.amp, job.training.channels_last)
    torch.set_num_threads(job.threads)
    seed_everything(job.seed)
    model = precision.place(create_model(job.model, len(job.pathologies)))
    if job.training.compile:
        model.compile()
    state = TrainingState.create(model, job.training, precision)
    train, val = job.batches("train"), job.batches("val")
    training = Training(job, precision, create_loss(job.training.loss, train.labels), train, val)
    _resume(state, job)
    tracker = _tracker(state, job)
    log.info("%d training and %d validation volumes, %s", len(train.names), len(val.names), precision)
    with catch_signals() as training.interruption:
        while state.epoch < job.training.epochs and not state.finished:
            started = train_epoch(state, training)
            row = validate_epoch(state, training, started)
            tracker.log(row, state.epoch)
            _log_epoch(row, state, job)
            _checkpoint(state, training)
    tracker.finish()
    _write_results(state, job)


def train_epoch(state: TrainingState, training: Training) -> dict[str, Any]:
    """Take the optimizer steps that are left of the epoch, and return what is known of it: the row's first cells."""
    settings = training.job.training
    state.model.train()
    total = torch.tensor(state.loss_sum, dtype=torch.float64)
    total = total.to(training.precision.device)
    waiter = _Waiter(training.train.epoch(state.epoch, start=state.window * settings.accumulate))
    started = time.monotonic()
    samples = 0
    plan = list(_windows(training.train, state.epoch, settings.accumulate))
    description = f"epoch {state.epoch + 1} of {settings.epochs}"
    for rows, known in progress(plan[state.window :], len(plan) - state.window, description):
        _set_learning_rate(state, training)
        window_loss = sum(_backward(state, training, next(waiter), known) for _ in rows)
        _step(state, settings.clip_norm)
        total += window_loss.double() * known
        samples += sum(map(len, rows))
        training.unchecked.append((window_loss, np.concatenate(rows)))
        state.step += 1
        state.window += 1
        _pause(state, training, total, started)
    _check_finite(training)
    seconds = time.monotonic() - started
    known_in_all = max(1, sum(known for _, known in plan))
    row = {
        "epoch": state.epoch,
        "step": state.step,
        "train_loss": float(total) / known_in_all,
        "val_loss": None,
    }
    row |= {"learning_rate": state.optimizer.param_groups[0]["lr"], "samples_per_second": samples / seconds}
    return row | {"data_wait_share": waiter.seconds / seconds, "seconds": state.seconds + seconds}


def validate_epoch(state: TrainingState, training: Training, row: dict[str, Any]) -> dict[str, Any]:
    """Validate, keep the network if it is the best so far, and close the epoch; returns the history's row."""
    job = training.job
    started = time.monotonic()
    logits = predict_logits(
        state.evaluated,
        training.val,
        job.preprocessing,
        job.training.windows,
        training.precision,
        flip=job.training.test_time_flip,
    )
    labels = training.val.labels
    losses = training.loss(torch.from_numpy(logits), torch.from_numpy(labels))
    metrics = validation_metrics(logits, labels, job.pathologies)
    row["val_loss"] = float(losses.sum()) / max(1, int((~np.isnan(labels)).sum()))
    timing = {name: row.pop(name) for name in ("samples_per_second", "data_wait_share", "seconds")}
    row |= metrics | timing | _peak_memory(training.precision)
    row["seconds"] += time.monotonic() - started
    chosen = row["val_loss"] if state.stopping.lower_is_better else metrics[f"val_{job.training.early_stopping.metric}"]
    # An undefined metric says nothing: until there is a defined one, the latest network is the best known.
    if state.stopping.update(chosen, state.epoch) or state.stopping.best is None:
        state.best = {"weights": state.weights(), "epoch": state.epoch, "metrics": metrics}
    state.history.append(row)
    state.epoch, state.window, state.loss_sum, state.seconds = state.epoch + 1, 0, 0.0, 0.0
    return row


def _backward(state: TrainingState, training: Training, batch: Batch, known: int) -> torch.Tensor:
    """One batch forward and backward; its share of the window's mean loss over the `known` labels."""
    job, precision = training.job, training.precision
    hu = to_hu(batch.volumes.to(precision.device, non_blocking=True), job.preprocessing)
    draws = draw(job.training.augmentation, job.seed, state.epoch, training.train.sample_seeds[batch.rows])
    x_BCDHW = to_input(augment(hu, draws, job.preprocessing.spacing), job.training.windows)
    with precision.autocast():
        logits = state.model(precision.layout(x_BCDHW))
    labels = batch.labels.to(precision.device, non_blocking=True)
    loss = training.loss(logits, labels).sum() / known
    state.scaler.scale(loss).backward()
    return loss.detach()


def _step(state: TrainingState, clip_norm: float | None) -> None:
    if clip_norm:
        state.scaler.unscale_(state.optimizer)
        clip_grad_norm_(state.model.parameters(), clip_norm)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    state.optimizer.zero_grad(set_to_none=True)
    if state.ema is not None:
        state.ema.update_parameters(state.model)


def _windows(batches: VolumeBatches, epoch: int, accumulate: int) -> Iterator[tuple[list[np.ndarray], int]]:
    """The batches of each optimizer step, and how many labels they know: so the last, shorter step weighs rightly."""
    rows = batches.rows(epoch)
    for first in range(0, len(rows), accumulate):
        window = rows[first : first + accumulate]
        known = int((~np.isnan(batches.labels[np.concatenate(window)])).sum())
        yield window, max(1, known)


def _set_learning_rate(state: TrainingState, training: Training) -> None:
    settings = training.job.training
    warmup = round(settings.warmup_epochs * training.steps_per_epoch)
    rate = learning_rate(state.step, settings.epochs * training.steps_per_epoch, warmup, settings.learning_rate)
    for group in state.optimizer.param_groups:
        group["lr"] = rate


def _pause(state: TrainingState, training: Training, total: torch.Tensor, started: float) -> None:
    """Between two steps: look at the losses now and then, save now and then, and leave if asked to."""
    due = time.monotonic() - training.saved_at >= 60 * training.job.training.checkpoint_minutes
    if len(training.unchecked) >= WINDOWS_BETWEEN_CHECKS:
        _check_finite(training)
    if due or training.interruption:
        spent = state.seconds
        state.loss_sum, state.seconds = float(total), spent + time.monotonic() - started
        _checkpoint(state, training)
        state.seconds = spent
    if training.interruption:
        log.warning("interrupted in epoch %d after step %d; the same command goes on", state.epoch + 1, state.step)
        raise Interrupted(training.interruption.number)


def _check_finite(training: Training) -> None:
    if not training.unchecked:
        return
    finite = torch.isfinite(torch.stack([loss for loss, _ in training.unchecked])).tolist()
    for good, (_, rows) in zip(finite, training.unchecked, strict=True):
        if not good:
            names = ", ".join(training.train.names[row] for row in rows)
            raise TrainingError(
                f"the loss is not finite at the volumes {names}; look at them with `hounsfield inspect`, or "
                "lower training.learning_rate; the last good checkpoint is kept"
            )
    training.unchecked.clear()


def _checkpoint(state: TrainingState, training: Training) -> None:
    _check_finite(training)
    save_last(state.state_dict() | {"fingerprint": training.job.fingerprint}, training.job.directory)
    training.saved_at = time.monotonic()


def _resume(state: TrainingState, job: TrainingJob) -> None:
    content = find_latest_checkpoint(job.directory)
    if content is None:
        return
    if content.get("fingerprint") != job.fingerprint:
        log.warning("last.pth is of other settings, code or data than these; training starts anew")
        return
    state.load_state_dict(content)
    log.info("going on from epoch %d, step %d", state.epoch + 1, state.step)


def _tracker(state: TrainingState, job: TrainingJob) -> Tracker:
    config = {"training": vars(job.training), "model": job.model.plain(), "seed": job.seed}
    config["preprocessing"] = job.preprocessing.canonical()
    tracking = {"name": job.directory.as_posix(), **job.tracking}
    tracker = Tracker(directory=job.directory, config=config, run_id=state.run_id, **tracking)
    state.run_id = tracker.run_id
    return tracker


def _log_epoch(row: dict[str, Any], state: TrainingState, job: TrainingJob) -> None:
    log.info(
        "epoch %d of %d: loss %.4f, validation loss %.4f, macro AUROC %.4f; %.1f volumes/s, %.0f %% waiting for data",
        state.epoch,
        job.training.epochs,
        row["train_loss"],
        row["val_loss"],
        row["val_roc_auc_macro"],
        row["samples_per_second"],
        100 * row["data_wait_share"],
    )


def _write_results(state: TrainingState, job: TrainingJob) -> None:
    common = {
        "model": job.model.plain(),
        "pathologies": list(job.pathologies),
        "preprocessing": job.preprocessing.canonical(),
        "windows": [list(map(float, window)) for window in job.training.windows],
    }
    final = {"weights": state.weights(), "epoch": state.epoch - 1, "metrics": _final_metrics(state)}
    save_checkpoint(common | final, job.directory / "final.pth")
    save_checkpoint(common | state.best, job.directory / "best.pth")
    write_table(pd.DataFrame(state.history), job.directory / "history.tsv")
    log.info("best epoch %d of %d", state.best["epoch"] + 1, state.epoch)


def _final_metrics(state: TrainingState) -> dict[str, float]:
    return {name: value for name, value in state.history[-1].items() if name.startswith("val_")}


def _peak_memory(precision: Precision) -> dict[str, float | None]:
    peak = {
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "peak_gpu_memory_mb": None,
    }
    if precision.device.type == "cuda":
        peak["peak_gpu_memory_mb"] = torch.cuda.max_memory_allocated() / 2**20
    return peak


class _Waiter:
    """Batches, with the seconds that getting them took."""

    def __init__(self, batches: Iterator[Batch]):
        self.batches = batches
        self.seconds = 0.0

    def __next__(self) -> Batch:
        started = time.monotonic()
        batch = next(self.batches)
        self.seconds += time.monotonic() - started
        return batch
