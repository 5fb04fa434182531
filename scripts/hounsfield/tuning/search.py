"""The search itself: a worker trains one trial after another, each from rung to rung."""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from optuna import Study

from hounsfield.config import canonical, merged
from hounsfield.errors import ConfigError, TrainingError
from hounsfield.tables import read_table
from hounsfield.training.checkpoints import LAST, load_checkpoint
from hounsfield.training.job import TrainingJob
from hounsfield.training.settings import TrainingSettings
from hounsfield.training.trainer import train_model
from hounsfield.tuning.settings import TuningSettings
from hounsfield.tuning.space import Space, check_comparable, search_space, values_of, with_values
from hounsfield.tuning.study import Assignment, SharedStudy, fail, report

# What ends one trial and says nothing of the others.
FAILURES = (TrainingError, ConfigError, torch.OutOfMemoryError)
# A trial is trained by one process.
# Each trial is a training from its start, on one GPU.
ALONE = {"gpu": 1, "nodes": 1, "continue_from": None}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Search:
    """What decides the trials of one model, under the names of a training's spec.

    spec: arguments of `TrainingJob.from_spec`; `directory` takes the studies, `block` is the model's whole block and
    `training` the common one. settings: of the search.
    """

    spec: Mapping[str, Any]
    settings: TuningSettings
    own_space: Mapping[str, Any]

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "Search":
        """`spec` has the tune block as `tune`, beside what a training needs. Raises ConfigError or TableError."""
        training = {key: value for key, value in spec.items() if key != "tune"}
        settings = TuningSettings.from_config(spec["tune"])
        search = cls(training | {"seed": settings.seed}, settings, spec["block"].get("tune", {}).get("space", {}))
        check_comparable(settings.metric, search.space)
        return search

    @cached_property
    def space(self) -> Space:
        """What is searched."""
        return search_space(self.spec["block"]["architecture"], self.settings.space, self.own_space)

    @cached_property
    def rungs(self) -> tuple[int, ...]:
        """Epochs after which trials are compared; the last is the end."""
        training = merged(self.spec["training"], self.spec["block"].get("training", {}))
        return self.settings.rungs_of(TrainingSettings.from_config(training).epochs)

    @cached_property
    def study(self) -> SharedStudy:
        """The study of these settings, code and data; with others there is another beside it."""
        settings = self.settings
        parts = [self.job({}, Path()).fingerprint, settings.metric, settings.reduction, self.rungs]
        parts += [{name: str(parameter) for name, parameter in self.space.items()}]
        digest = hashlib.blake2b(json.dumps(canonical(parts)).encode(), digest_size=8).hexdigest()
        folder = Path(self.spec["directory"]) / digest
        return SharedStudy(folder, self.space, self.rungs, settings.lower_is_better, settings.reduction, settings.seed)

    def block(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The model's block of the configuration with the values of a trial, trained as long as the last rung."""
        return with_values(self.spec["block"], {**values, "training.epochs": self.rungs[-1]})

    def job(self, values: Mapping[str, Any], directory: Path) -> TrainingJob:
        """The training of a trial. Raises ConfigError for values that do not go together."""
        block = self.block(values)
        changes = {
            "training": merged(self.spec["training"], block.pop("training")) | ALONE,
            "block": {key: value for key, value in block.items() if key != "tune"},
            "directory": directory,
        }
        job = TrainingJob.from_spec({**self.spec, **changes})
        # The test split may see no choice, so the choices do not see it.
        return replace(job, dataset=job.dataset[job.dataset["split"] != "test"])


def search_spec(settings: Mapping[str, Any], config: Mapping[str, Any], model: str, results: Path) -> dict[str, Any]:
    """A search's spec, but for the dataset and the threads: its settings, and what of `config` changes no result.

    The studies lie in `results`, or where `checkpoints` says that what outlives a job is to lie.
    """
    folder = results / "studies"
    if config["checkpoints"] is not None:
        folder = Path(config["checkpoints"], config["name"], "tuning", model)
    tracking = {**config["wandb"], "mode": config["tune"]["wandb"]}
    return {**settings, "directory": str(folder), "store": config["store"], "tracking": tracking}


def work(search: Search) -> pd.DataFrame:
    """Train trials from rung to rung until nothing is left to do for this worker; what it did.

    Columns: number of the trial, epochs at the rung. Raises TableError or StoreError; Interrupted after a signal.
    """
    study = search.study.open()
    done: list[dict[str, int]] = []
    while True:
        with search.study.claimed(study, search.settings.trials) as assignment:
            if assignment is None:
                return pd.DataFrame(done, columns=["number", "epochs"])
            run_assignment(study, assignment, search)
        done.append({"number": assignment.trial.number, "epochs": assignment.rung})


def run_assignment(study: Study, assignment: Assignment, search: Search) -> None:
    """Train a trial to its rung, from its own checkpoint if it has one, and write down how that ended."""
    trial, folder = assignment.trial, search.study.trial_folder(assignment.trial.number)
    log.info("trial %d to epoch %d: %s", trial.number, assignment.rung, trial.params or "the configuration as it is")
    try:
        job = search.job(values_of(search.space, trial.params), folder)
        if assignment.rung not in trial.intermediate_values:
            # On the one schedule that ends at the last rung, whichever rung this is.
            train_model(job, stop_after=assignment.rung)
            value = _validated(job, search.settings.metric)
            report(study, trial, assignment.rung, value)
            log.info("trial %d at epoch %d: %s %.4f", trial.number, assignment.rung, search.settings.metric, value)
    except FAILURES as error:
        log.warning("trial %d failed: %s", trial.number, error)
        fail(study, trial, (str(error).splitlines() or [type(error).__name__])[0])
        remove_networks(folder)
        return
    ended = assignment.rung == search.rungs[-1]
    if ended:
        study.tell(trial.number, study.get_trials(deepcopy=False)[trial.number].intermediate_values[assignment.rung])
    remove_networks(folder, keep=() if ended else (LAST,))


def remove_networks(folder: Path, keep: Sequence[str] = ()) -> None:
    """Remove the checkpoints of a trial but for those to go on from: its history says all that is asked of it."""
    for path in folder.glob("*.pth"):
        if path.name not in keep:
            path.unlink()


def _validated(job: TrainingJob, metric: str) -> float:
    """The metric on validation at the epoch that training would keep so far. Raises TrainingError if undefined."""
    epoch = load_checkpoint(job.directory / "best.pth")["epoch"]
    value = read_table(job.directory / "history.tsv").set_index("epoch").at[epoch, f"val_{metric}"]
    if pd.isna(value):
        raise TrainingError(f"val_{metric} is undefined: no label has both kinds on validation; choose another metric")
    return float(value)
