"""Optuna's study of one model, in a file that several workers share, and who of them trains what."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna
from optuna.pruners import BasePruner
from optuna.samplers import TPESampler
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from hounsfield.tuning.locks import JournalLock, locked, try_lock
from hounsfield.tuning.space import Choices, Range, Space

# The trial of the configuration as it is: what all others are to beat.
BASELINE = 0

log = logging.getLogger(__name__)


class RungPruner(BasePruner):
    """Asynchronous successive halving (Li et al., 2020): the best of every `reduction` trials at a rung go on.

    A trial is judged against those that have reached its rung so far, so that no worker waits for another. Optuna's own
    pruner marks who has passed, which a process killed in between would do twice; this one looks at the values alone.
    """

    def __init__(self, reduction: int):
        self.reduction = reduction

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Whether the trial, at its last rung, is to end there."""
        rung = trial.last_step
        if rung is None or trial.number == BASELINE:
            return False
        others = study.get_trials(deepcopy=False)
        values = [other.intermediate_values[rung] for other in others if rung in other.intermediate_values]
        values.sort(reverse=study.direction == optuna.study.StudyDirection.MAXIMIZE)
        return trial.intermediate_values[rung] not in values[: max(1, len(values) // self.reduction)]


@dataclass(frozen=True)
class SharedStudy:
    """The study in `folder`; lower_is_better, reduction, seed: as in the settings."""

    folder: Path
    space: Space
    lower_is_better: bool
    reduction: int
    seed: int

    def open(self) -> optuna.Study:
        """The study with all that has been written so far, made if there is none."""
        optuna.logging.disable_default_handler()
        self.folder.mkdir(parents=True, exist_ok=True)
        journal = self.folder / "journal.log"
        with locked(self.folder / "opening.lock"):
            return optuna.create_study(
                storage=JournalStorage(JournalFileBackend(str(journal), JournalLock(journal))),
                pruner=RungPruner(self.reduction),
                study_name="study",
                direction="minimize" if self.lower_is_better else "maximize",
                load_if_exists=True,
            )

    def trial_folder(self, number: int) -> Path:
        """Where a trial trains."""
        return self.folder / "trials" / f"{number:04d}"

    @contextmanager
    def claimed(self, study: optuna.Study, trials: int) -> Iterator[Trial | None]:
        """A trial that nobody else works on, while it is held: an unfinished one, or a new one of `trials` in all.

        None if there is neither. A trial belongs to the process that holds the lock in its folder: those of a process
        that was killed are free at once.
        """
        with locked(self.folder / "claim.lock"):
            held = self._claim(study, trials)
        if held is None:
            yield None
            return
        trial, lock = held
        with lock:
            yield trial

    def _claim(self, study, trials):
        existing = study.get_trials(deepcopy=False)
        for frozen in existing:
            lock = None if frozen.state.is_finished() else self._lock(frozen.number)
            if lock is not None:
                log.info("going on with trial %d, which was interrupted", frozen.number)
                study.sampler = self._sampler(frozen.number)
                return self._drawn(Trial(study, frozen._trial_id)), lock
        if len(existing) >= trials:
            return None
        study.sampler = self._sampler(len(existing))
        trial = study.ask()
        return self._drawn(trial), self._lock(trial.number)

    def _lock(self, number: int):
        self.trial_folder(number).mkdir(parents=True, exist_ok=True)
        return try_lock(self.trial_folder(number) / "worker.lock")

    def _sampler(self, number: int) -> TPESampler:
        """Seeded for each trial, so that a search that was interrupted draws what it would have drawn."""
        return TPESampler(seed=int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0]))

    def _drawn(self, trial: Trial) -> Trial:
        """The trial with its parameters, those drawn before as they were; the baseline has none."""
        for name, parameter in self.space.items() if trial.number != BASELINE else ():
            _draw(trial, name, parameter)
        return trial


def _draw(trial: Trial, name: str, parameter: Range | Choices) -> None:
    if isinstance(parameter, Choices):
        trial.suggest_categorical(name, parameter.names)
    elif parameter.whole:
        trial.suggest_int(name, parameter.low, parameter.high, step=parameter.step)
    else:
        trial.suggest_float(name, parameter.low, parameter.high, log=parameter.log, step=parameter.step)


STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "unfinished",
    TrialState.WAITING: "unfinished",
}
