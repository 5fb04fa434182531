"""From facts, machine and configuration to a proposal: the grid first, as all models share it, then each model."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hounsfield.cohort.settings import training_runs
from hounsfield.config import merged
from hounsfield.errors import HounsfieldError
from hounsfield.planning import rules
from hounsfield.planning.cost import Cost, Costs, Measure
from hounsfield.planning.facts import CohortFacts
from hounsfield.planning.grids import Grid, field_of_view, ladder, side_multiple
from hounsfield.planning.machine import Machine, existing_parent
from hounsfield.planning.rules import Choice
from hounsfield.training.settings import TrainingSettings
from hounsfield.volumes.forecast import forecast
from hounsfield.volumes.settings import PreprocessingSettings
from hounsfield.volumes.store import VolumeStore

ROUNDS = 4  # of choosing a grid and measuring on it
PROBE_RATIO = 3  # the second grid that is measured has at least so many times the voxels of the coarsest
FORWARD_SHARE = 1 / 3  # of a training volume's time, for one of validation
LEAST_EPOCHS = 5
FEW_POSITIVES = 10


@dataclass(frozen=True)
class Fit:
    """How a model trains on a grid: volumes in a batch, whether activations are computed again, and the cost."""

    batch: int
    recompute: bool
    cost: Cost


@dataclass(frozen=True)
class Task:
    """What is to be done in how much time, whatever the grid.

    models: their blocks. volumes: count by split. epochs, effective: epochs, and volumes in an optimizer step.
    trainings: of each model, for its seeds and folds. jobs: trainings at a time, each of `processes` on a GPU. room:
    bytes for one of them. seconds: for all trainings.
    """

    models: Mapping[str, Mapping[str, Any]]
    volumes: Mapping[str, int]
    epochs: int
    effective: int
    trainings: int
    jobs: int
    processes: int
    room: float
    seconds: float

    def epoch_seconds(self, fits: Mapping[str, Fit]) -> float:
        """Wall time of one epoch of all trainings, or of what stands for it where a model takes longer."""
        passes = self.volumes["train"] + FORWARD_SHARE * self.volumes.get("val", 0)
        volume = sum(rules.times_epochs(self.models[name]) * fit.cost.seconds for name, fit in fits.items())
        return self.trainings * volume * passes / self.processes / self.jobs

    def too_slow(self, fits: Mapping[str, "Fit"]) -> bool:
        """Whether all epochs take longer than they may."""
        return self.epochs * self.epoch_seconds(fits) > self.seconds


@dataclass(frozen=True)
class Proposal:
    """choices: by path of the configuration's keys. hours and gigabytes: what the run will take. warnings: lines."""

    choices: dict[tuple[str, ...], Choice]
    grid: Grid
    gigabytes: float
    preprocessing_hours: float
    training_hours: dict[str, float]
    warnings: tuple[str, ...]


def propose(
    facts: CohortFacts, machine: Machine, config: Mapping[str, Any], hours: float, measure: Measure
) -> Proposal:
    """Settings for `config` (with its defaults filled in) that train all models in about `hours`.

    Raises HounsfieldError if a model does not fit into the memory on any grid.
    """
    task = plan_task(facts, machine, config, hours)
    view, finest = field_of_view(facts.needed, facts.extents), np.median(facts.spacings, axis=0)
    multiple = side_multiple(task.models.values())
    grids = ladder(view, finest, multiple)
    costs = Costs(measure, probes(grids))
    grid, fits, limit = settle(grids, task, costs)
    epochs = rules.epochs(facts.volumes["train"])
    if task.too_slow(fits):
        count = max(LEAST_EPOCHS, int(task.seconds / task.epoch_seconds(fits)))
        epochs = Choice(min(epochs.value, count), f"what fits into {hours:g} h on the coarsest grid")
    choices = {
        ("threads",): rules.threads(machine, task.jobs),
        ("preprocessing", "spacing"): rules.spacing(grid, finest, limit),
        ("preprocessing", "shape"): rules.shape(grid, view, multiple),
        ("preprocessing", "antialias"): rules.antialias(grid, finest),
    }
    choices |= _storage(facts, machine, config, grid, task)
    choices |= _training(task, fits, epochs, machine)
    choices |= _repeated(choices, task.models)
    settings = PreprocessingSettings.from_config(
        {path[1]: choice.value for path, choice in choices.items() if path[0] == "preprocessing"}
    )
    stored = forecast(facts.paths, _store(config), settings)
    return Proposal(
        choices=choices,
        grid=grid,
        gigabytes=stored.bytes / 1e9,
        preprocessing_hours=stored.seconds / 3600 / machine.cores,
        training_hours={name: epochs.value * task.epoch_seconds({name: fit}) / 3600 for name, fit in fits.items()},
        warnings=tuple(_warnings(facts, machine, stored.fits, epochs.value * task.epoch_seconds(fits), task)),
    )


def plan_task(facts: CohortFacts, machine: Machine, config: Mapping[str, Any], hours: float) -> Task:
    """What the configuration asks for."""
    training = config.get("training", {})
    processes = training.get("gpu", 1) * training.get("nodes", 1) if machine.gpus else 1
    trainings = len(config["seeds"]) * len(training_runs(config))
    jobs = max(1, min(machine.gpus // processes, len(config["models"]) * trainings))
    return Task(
        models=config["models"],
        volumes=facts.volumes,
        epochs=rules.epochs(facts.volumes["train"]).value,
        effective=rules.effective_batch(facts.volumes["train"], processes).value,
        trainings=trainings,
        jobs=jobs,
        processes=processes,
        room=rules.memory_room(machine, jobs),
        seconds=3600 * hours,
    )


def probes(grids: list[Grid]) -> tuple[Grid, ...]:
    """The coarsest grid, and the next one that is much finer."""
    coarsest = grids[-1]
    finer = [grid for grid in grids if grid.voxels >= PROBE_RATIO * coarsest.voxels]
    return (coarsest, *finer[-1:])


def settle(grids: list[Grid], task: Task, costs: Costs) -> tuple[Grid, dict[str, Fit], str]:
    """The finest grid that fits memory and time, how each model trains on it, and what kept it from being finer.

    What is chosen by extrapolation is measured, and chosen again.
    """
    for _ in range(ROUNDS):
        grid, fits, _ = _finest(grids, task, costs)
        fresh = [costs.refine(name, grid, fit.batch, fit.recompute) for name, fit in fits.items()]
        if not any(fresh):
            break
    return _finest(grids, task, costs)


def _finest(grids: list[Grid], task: Task, costs: Costs) -> tuple[Grid, dict[str, Fit], str]:
    limit = "as fine as the scans"
    for grid in grids:
        plain = {name: Fit(task.effective, False, costs.of(name, grid, False)) for name in task.models}
        fits = plain if task.too_slow(plain) else {name: fit_model(name, grid, task, costs) for name in task.models}
        tight = [name for name, fit in fits.items() if fit is None]
        if tight:
            limit = f"the finest whose batches fit the memory ({tight[0]})"
        elif task.too_slow(fits):
            limit = f"the finest that trains {len(fits)} x {task.trainings} networks in {task.seconds / 3600:g} h"
        else:
            return grid, fits, limit
    fits = {name: fit_model(name, grids[-1], task, costs) for name in task.models}
    tight = [name for name, fit in fits.items() if fit is None]
    if tight:
        raise HounsfieldError(
            f"config: models.{tight[0]}: two volumes of {grids[-1]} do not fit into {task.room / 1e9:.1f} GB of memory;"
            " take a smaller variant, or a larger GPU"
        )
    return grids[-1], fits, "the coarsest that is worth learning from, as time is short"


def fit_model(name: str, grid: Grid, task: Task, costs: Costs) -> Fit | None:
    """How a model trains on a grid, without gradient checkpointing if it can; None if two volumes do not fit.

    A batch of SMALLEST_BATCH is wanted, and on the way to it checkpointing is the lesser evil.
    """
    enough = min(task.effective, rules.SMALLEST_BATCH * task.processes)
    found = None
    for recompute in (False, True):
        if recompute and not _names_blocks(task.models[name]["architecture"]):
            break
        cost = costs.of(name, grid, recompute)
        batch = rules.batch_that_fits(cost, task.room, task.effective, task.processes)
        if batch and (found is None or batch > found.batch):
            found = Fit(batch, recompute, cost)
        if batch >= enough:
            break
    return found


def _names_blocks(architecture: str) -> bool:
    """Whether gradient checkpointing knows what to compute again."""
    return bool(getattr(importlib.import_module(f"hounsfield.models.{architecture}"), "BLOCKS", ()))


def _storage(
    facts: CohortFacts, machine: Machine, config: Mapping[str, Any], grid: Grid, task: Task
) -> dict[tuple[str, ...], Choice]:
    int16 = forecast(facts.paths, _store(config), PreprocessingSettings(grid.spacing, grid.shape))
    blocks = [merged(config.get("training", {}), block.get("training", {})) for block in task.models.values()]
    windows = [window for block in blocks for window in block.get("windows", TrainingSettings().windows)]
    dtype, window = rules.stored_type(int16.bytes, machine.disk, windows)
    read = facts.volumes["train"] + facts.volumes.get("val", 0)
    share = read / len(facts.paths) * (0.5 if window else 1)
    choices = {("preprocessing", "dtype"): dtype}
    # Said also where it is none, as the configuration may name one for another type.
    choices[("preprocessing", "window")] = window or Choice(None, "int16 keeps all HU")
    return choices | {("training", "cache_gb"): rules.cache_gb(int16.bytes * share, machine, task.jobs)}


def _training(task: Task, fits: Mapping[str, Fit], epochs: Choice, machine: Machine) -> dict[tuple[str, ...], Choice]:
    where = machine.gpu_name if machine.gpus else "the CPU"
    choices = _schedule(("training",), epochs) | {("training", "amp"): rules.amp(machine)}
    for name, fit in fits.items():
        if rules.times_epochs(task.models[name]) > 1:
            choices |= _schedule(("models", name, "training"), rules.own_epochs(epochs.value, task.models[name]))
        own = {
            "batch_size": rules.batch_size(fit.batch, task.effective, fit.cost, task.room, where),
            "accumulate": rules.accumulate(fit.batch, task.effective),
            "learning_rate": rules.learning_rate(task.effective, task.models[name]),
            "gradient_checkpointing": rules.gradient_checkpointing(fit.recompute),
        }
        choices |= {("models", name, "training", key): choice for key, choice in own.items()}
    return choices


def _schedule(block: tuple[str, ...], epochs: Choice) -> dict[tuple[str, ...], Choice]:
    """Epochs, and what follows from their number."""
    return {
        (*block, "epochs"): epochs,
        (*block, "warmup_epochs"): rules.warmup_epochs(epochs.value),
        (*block, "early_stopping", "patience"): rules.patience(epochs.value),
    }


def _repeated(
    choices: Mapping[tuple[str, ...], Choice], models: Mapping[str, Mapping[str, Any]]
) -> dict[tuple[str, ...], Choice]:
    """What is said of training once more for the models whose own block says otherwise, as that would win."""
    again = {}
    for name, block in models.items():
        for path, choice in choices.items():
            said = ("models", name, *path) in choices
            if path[0] == "training" and path[1] in block.get("training", {}) and not said:
                again["models", name, *path] = Choice(choice.value, "as above, in place of the model's own")
    return again


def _warnings(facts: CohortFacts, machine: Machine, fits_disk: bool, seconds: float, task: Task) -> list[str]:
    lines = [
        f"{name}: {count} positive training scans are few to learn from"
        for name, count in facts.positives.items()
        if count < FEW_POSITIVES
    ]
    lines += [f"refused: {error}" for error in facts.refused]
    if not fits_disk:
        lines.append("the disk has too little room for the store; name another with `store`")
    if machine.busy:
        lines.append("this machine was busy: steps were timed by the work of one core, which is less certain")
    if seconds > 1.05 * task.seconds:
        lines.append(f"training takes about {seconds / 3600:.1f} hours even so; give more --hours, or fewer models")
    return lines


def _store(config: Mapping[str, Any]) -> VolumeStore:
    """Any folder of the store's disk, as a forecast makes the one it is given."""
    return VolumeStore(existing_parent(Path(config["store"])))
