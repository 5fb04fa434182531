"""Training: from a job to best.pth, final.pth and history.tsv, resumable at every step."""

import logging
import math
import signal
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_

from hounsfield.errors import TrainingError
from hounsfield.models.create import create_model
from hounsfield.progress import progress
from hounsfield.training.activation_checkpointing import checkpoint_activations
from hounsfield.training.augmentation import augmented_input, draw
from hounsfield.training.checkpoints import find_latest_checkpoint, load_checkpoint, save_last
from hounsfield.training.data import ALONE, Batch, VolumeBatches, Waiter
from hounsfield.training.distributed import World, no_sync
from hounsfield.training.interruption import Interrupted, Interruption, catch_signals
from hounsfield.training.job import TrainingJob
from hounsfield.training.losses import Loss, create_loss
from hounsfield.training.optimization import freeze, learning_rate
from hounsfield.training.outcome import log_epoch, peak_memory, write_results
from hounsfield.training.precision import Precision
from hounsfield.training.state import TrainingState, seed_everything, seed_step
from hounsfield.training.tracking import Tracker
from hounsfield.training.validation import predict_logits, validation_metrics

log = logging.getLogger(__name__)

# Looking at a loss makes the CPU wait for the GPU, so they are looked at together.
STEPS_BETWEEN_CHECKS = 20


@dataclass(frozen=True)
class Microbatches:
    """What one optimizer step learns from: the rows of its batches, and how many of their labels are known."""

    batches: list[np.ndarray]
    known: int

    @property
    def rows(self) -> np.ndarray:
        """Rows of all its volumes."""
        return np.concatenate(self.batches)


@dataclass
class Training:
    """What the functions of the loop share; `network` is the state's model as it is called in training."""

    job: TrainingJob
    world: World
    precision: Precision
    network: nn.Module
    loss: Loss
    train: VolumeBatches
    val: VolumeBatches
    frozen: list[nn.Module] = field(default_factory=list)
    interruption: Interruption = field(default_factory=Interruption)
    saved_at: float = field(default_factory=time.monotonic)
    unchecked: list[tuple[torch.Tensor, Microbatches]] = field(default_factory=list)

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps."""
        return -(-len(self.train) // self.job.training.accumulate)


def train_model(job: TrainingJob, world: World = ALONE, stop_after: int | None = None) -> None:
    """Train to the end, going on from last.pth if it is this job's, and write the results into `job.directory`.

    world: the processes that do it together; by default this one alone. stop_after: pause once so many epochs are
    done, on the way to all of them: schedule and results are those of a run that was not paused.
    Raises TrainingError, TableError, StoreError, ConfigError or CheckpointError; Interrupted after a signal.
    """
    training, state = prepare(job, world)
    until = min(job.training.epochs, stop_after or job.training.epochs)
    with catch_signals() as training.interruption:
        tracker = _tracker(state, training)
        while state.epoch < until and not state.finished:
            started = train_epoch(state, training)
            row = validate_epoch(state, training, started)
            tracker.log(row, state.epoch)
            log_epoch(row, job.training.epochs)
            _checkpoint(state, training)
        if world.first:
            write_results(state, job)
        tracker.finish(job.directory / "best.pth")


def train_epoch(state: TrainingState, training: Training) -> dict[str, Any]:
    """Take the optimizer steps that are left of the epoch, and return what is known of it: the row's first cells."""
    settings = training.job.training
    state.model.train()
    for module in training.frozen:
        module.eval()  # its running statistics stay, and nothing is dropped
    waiter = Waiter(training.train.epoch(state.epoch, start=state.epoch_step * settings.accumulate))
    started = time.monotonic()
    plan = list(_optimizer_steps(training.train, state.epoch, settings.accumulate))
    left = plan[state.epoch_step :]
    for group in progress(left, len(left), f"epoch {state.epoch + 1} of {settings.epochs}"):
        _set_learning_rate(state, training)
        seed_step(training.job.seed, state.step, training.world.rank)
        training.unchecked.append((_backward(state, training, waiter, group), group))
        _step(state, settings.clip_norm)
        state.step += 1
        state.epoch_step += 1
        _pause(state, training, started)
    _settle(state, training)
    seconds = time.monotonic() - started
    row = {
        "epoch": state.epoch,
        "step": state.step,
        "train_loss": state.loss_sum / max(1, sum(group.known for group in plan)),
        "val_loss": None,
        "learning_rate": max(group["lr"] for group in state.optimizer.param_groups),
        "samples_per_second": sum(len(group.rows) for group in left) / seconds,
    }
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
    row |= metrics | timing | peak_memory(training.precision.device)
    row["seconds"] += time.monotonic() - started
    chosen = row["val_loss"] if state.stopping.lower_is_better else metrics[f"val_{job.training.early_stopping.metric}"]
    # An undefined metric says nothing: until there is a defined one, the latest network is the best known.
    if state.stopping.update(chosen, state.epoch) or state.stopping.best is None:
        state.best = {"weights": state.weights(), "epoch": state.epoch, "metrics": metrics}
    if state.continued_from is not None:
        row["continued_from"] = state.continued_from
    state.history.append(row)
    state.epoch, state.epoch_step, state.loss_sum, state.seconds = state.epoch + 1, 0, 0.0, 0.0
    return row


def prepare(job: TrainingJob, world: World = ALONE) -> tuple[Training, TrainingState]:
    """Everything that the loop needs, as the last checkpoint left it. Raises what `train_model` does."""
    precision = Precision.choose(job.training.amp, job.training.channels_last)
    torch.set_num_threads(max(1, job.threads // world.local_size))
    seed_everything(job.seed)
    model = world.place(precision.place(create_model(job.model, len(job.pathologies))))
    if job.training.compile:
        model.compile()
    train, val = job.batches("train", world), job.batches("val", world)
    log.info("%d training and %d validation volumes, %s", len(train.names), len(val.names), precision)
    frozen = freeze(model, job.model, job.training.freeze)
    state = TrainingState.create(model, job.model, job.training, precision)
    if job.training.gradient_checkpointing:
        checkpoint_activations(model, job.model)
    _resume(state, job)
    loss = create_loss(job.training.loss, train.labels)
    return Training(job, world, precision, world.connect(model), loss, train, val, frozen), state


def _backward(state: TrainingState, training: Training, batches: Iterator[Batch], group: Microbatches) -> torch.Tensor:
    """A group's microbatches forward and backward; this process's part of the mean loss over the known labels."""
    total = torch.zeros((), device=training.precision.device)
    for left in reversed(range(len(group.batches))):
        with no_sync(training.network) if left else nullcontext():
            loss = _loss(state, training, next(batches)) / group.known
            # Gradients of several processes are averaged, and here they are to be added up.
            state.scaler.scale(loss * training.world.size).backward()
        total += loss.detach()
    return total


def _loss(state: TrainingState, training: Training, batch: Batch) -> torch.Tensor:
    """The loss of a batch, summed over its known labels."""
    job, precision = training.job, training.precision
    volumes = batch.volumes.to(precision.device, non_blocking=True)
    draws = draw(job.training.augmentation, job.seed, state.epoch, training.train.sample_seeds[batch.rows])
    x_BCDHW = augmented_input(volumes, draws, job.preprocessing, job.training.windows)
    with precision.autocast():
        logits = training.network(precision.layout(x_BCDHW))
    return training.loss(logits, batch.labels.to(precision.device, non_blocking=True)).sum()


def _step(state: TrainingState, clip_norm: float | None) -> None:
    if clip_norm:
        state.scaler.unscale_(state.optimizer)
        clip_grad_norm_(state.model.parameters(), clip_norm)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    state.optimizer.zero_grad(set_to_none=True)
    if state.ema is not None:
        state.ema.update_parameters(state.model)


def _optimizer_steps(batches: VolumeBatches, epoch: int, accumulate: int) -> Iterator[Microbatches]:
    """The optimizer steps of an epoch; each knows its labels, so that the last, shorter one weighs rightly."""
    rows = batches.rows(epoch)
    for first in range(0, len(rows), accumulate):
        group = rows[first : first + accumulate]
        known = int((~np.isnan(batches.labels[np.concatenate(group)])).sum())
        yield Microbatches(group, max(1, known))


def _set_learning_rate(state: TrainingState, training: Training) -> None:
    settings = training.job.training
    warmup = round(settings.warmup_epochs * training.steps_per_epoch)
    rate = learning_rate(state.step, settings.epochs * training.steps_per_epoch, warmup, settings.learning_rate)
    for group in state.optimizer.param_groups:
        group["lr"] = rate * group["share"]


def _pause(state: TrainingState, training: Training, started: float) -> None:
    """Between two steps: look at the losses now and then, save now and then, and leave if asked to."""
    due = time.monotonic() - training.saved_at >= 60 * training.job.training.checkpoint_minutes
    # The processes go on and stop together, or one would wait for the others for ever.
    interrupted = training.world.any(bool(training.interruption))
    if interrupted or training.world.any(due):
        spent = state.seconds
        state.seconds = spent + time.monotonic() - started
        _checkpoint(state, training)
        state.seconds = spent
    elif len(training.unchecked) >= STEPS_BETWEEN_CHECKS:
        _settle(state, training)
    if interrupted:
        log.warning("interrupted in epoch %d after step %d; the same command goes on", state.epoch + 1, state.step)
        raise Interrupted(training.interruption.number or signal.SIGTERM)


def _settle(state: TrainingState, training: Training) -> None:
    """Add the losses not looked at yet to the epoch's; TrainingError if one is not finite."""
    if not training.unchecked:
        return
    losses = training.world.total(torch.stack([loss for loss, _ in training.unchecked])).tolist()
    for loss, (_, group) in zip(losses, training.unchecked, strict=True):
        if not math.isfinite(loss):
            names = ", ".join(training.train.names[row] for row in group.rows)
            raise TrainingError(
                f"the loss is not finite at the volumes {names}; look at them with `hounsfield inspect`, or "
                "lower training.learning_rate; the last good checkpoint is kept"
            )
        state.loss_sum += loss * group.known
    training.unchecked.clear()


def _checkpoint(state: TrainingState, training: Training) -> None:
    _settle(state, training)
    if training.world.first:
        save_last(state.state_dict() | {"fingerprint": training.job.fingerprint}, training.job.directory)
    training.saved_at = time.monotonic()


def _resume(state: TrainingState, job: TrainingJob) -> None:
    content = find_latest_checkpoint(job.directory)
    if content is not None and content.get("fingerprint") == job.fingerprint:
        state.load_state_dict(content)
        log.info("going on from epoch %d, step %d", state.epoch + 1, state.step)
        return
    if content is not None:
        log.warning("last.pth is of other settings, code or data than these; training starts anew")
    if job.training.continue_from:
        path = job.training.continue_from
        state.continue_from(load_checkpoint(path), path)
        log.info("continuing from %s, on a schedule of its own", state.continued_from)


def _tracker(state: TrainingState, training: Training) -> Tracker:
    job = training.job
    config = {"training": vars(job.training), "model": job.model.plain(), "seed": job.seed}
    config["preprocessing"] = job.preprocessing.canonical()
    tracking = {"name": job.directory.as_posix(), **job.tracking}
    if not training.world.first:
        tracking["mode"] = "disabled"
    tracker = Tracker(directory=job.directory, config=config, run_id=state.run_id, **tracking)
    state.run_id = tracker.run_id
    return tracker
