"""Optuna's study of one model, in a file that several workers share, and which trial is trained next."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna
from optuna.samplers import TPESampler
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from hounsfield.locks import locked, try_lock
from hounsfield.tuning.journal import JournalLock
from hounsfield.tuning.space import Choices, Range, Space

# The trial of the configuration as it is: what all others are to beat.
BASELINE = 0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Assignment:
    """What a worker does next: train a trial until so many epochs are done, a rung."""

    trial: FrozenTrial
    rung: int


@dataclass(frozen=True)
class SharedStudy:
    """The study in `folder`. rungs: epochs, rising. lower_is_better, reduction, seed: as in the settings.

    Trials climb by asynchronous successive halving (Li et al., 2020, algorithm 2): whoever is free takes the best trial
    that waits at the highest rung and is among the best of every `reduction` there, or else draws a new one. Optuna's
    pruner would end a trial that is not among them yet; here it waits, and may go on as others come in below it.
    """

    folder: Path
    space: Space
    rungs: Sequence[int]
    lower_is_better: bool
    reduction: int
    seed: int

    def open(self) -> optuna.Study:
        """The study with all that has been written so far, made if there is none."""
        optuna.logging.disable_default_handler()
        self.folder.mkdir(parents=True, exist_ok=True)
        journal = self.folder / "journal.log"
        with locked(self.folder / "claim.lock"):
            storage = JournalStorage(JournalFileBackend(str(journal), JournalLock(journal)))
            return optuna.create_study(
                storage=storage, study_name="study", direction=self.direction, load_if_exists=True
            )

    @property
    def direction(self) -> str:
        """As Optuna calls it."""
        return "minimize" if self.lower_is_better else "maximize"

    def trial_folder(self, number: int) -> Path:
        """Where a trial trains."""
        return self.folder / "trials" / f"{number:04d}"

    @contextmanager
    def claimed(self, study: optuna.Study, trials: int) -> Iterator[Assignment | None]:
        """What to do next, which nobody else does while it is held; of `trials` trials in all. None if nothing is left.

        A trial belongs to the process that holds the lock in its folder: those of a process that was killed are free at
        once, and whoever takes one goes on from its checkpoint.
        """
        with locked(self.folder / "claim.lock"):
            held = self._claim(study, trials)
        if held is None:
            yield None
            return
        assignment, lock = held
        with lock:
            yield assignment

    def _claim(self, study: optuna.Study, trials: int) -> tuple[Assignment, AbstractContextManager] | None:
        existing = study.get_trials(deepcopy=False)
        for assignment in self.assignments(existing):
            if (lock := self._lock(assignment.trial.number)) is not None:
                return assignment, lock
        if len(existing) >= trials:
            return None
        # In one write, so that none is ever known by half.
        study.add_trial(self.draw(existing))
        trial = study.get_trials(deepcopy=False)[-1]
        return Assignment(trial, self.rungs[0]), self._lock(trial.number)

    def assignments(self, trials: Sequence[FrozenTrial]) -> Iterator[Assignment]:
        """What could be done with the trials that there are, the most urgent first."""
        for rung, following in reversed(list(zip(self.rungs, [*self.rungs[1:], self.rungs[-1]], strict=True))):
            reached = [trial for trial in trials if rung in trial.intermediate_values]
            sign = 1 if self.lower_is_better else -1
            reached.sort(key=lambda trial: (sign * trial.intermediate_values[rung], trial.number))
            for place, trial in enumerate(reached):
                # One at the last rung was killed before it was told so.
                passes = place < len(reached) // self.reduction or trial.number == BASELINE or rung == following
                if passes and trial.last_step == rung and not trial.state.is_finished():
                    yield Assignment(trial, following)
        for trial in trials:
            if trial.last_step is None and not trial.state.is_finished():
                yield Assignment(trial, self.rungs[0])

    def draw(self, trials: Sequence[FrozenTrial]) -> FrozenTrial:
        """A new trial, drawn by what the others have reached; the baseline has no parameters.

        Those that wait at a rung count as ended there. The sampler has a seed for each trial, so that a search that was
        interrupted draws what it would have drawn.
        """
        number = len(trials)
        if number == BASELINE:
            return create_trial(state=TrialState.RUNNING)
        seed = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
        known = optuna.create_study(direction=self.direction, sampler=TPESampler(seed=seed))
        known.add_trials([_as_known(trial) for trial in trials if trial.params and trial.state != TrialState.FAIL])
        drawn = known.ask()
        for name, parameter in self.space.items():
            _suggest(drawn, name, parameter)
        return create_trial(state=TrialState.RUNNING, params=drawn.params, distributions=drawn.distributions)

    def _lock(self, number: int) -> AbstractContextManager | None:
        self.trial_folder(number).mkdir(parents=True, exist_ok=True)
        return try_lock(self.trial_folder(number) / "worker.lock")


def report(study: optuna.Study, trial: FrozenTrial, rung: int, value: float) -> None:
    """Write down what a trial has reached at a rung."""
    Trial(study, trial._trial_id).report(value, rung)


def fail(study: optuna.Study, trial: FrozenTrial, message: str) -> None:
    """Write down that a trial failed, and why."""
    Trial(study, trial._trial_id).set_user_attr("message", message)
    study.tell(trial.number, state=TrialState.FAIL)


def state_of(trial: FrozenTrial) -> str:
    """complete, failed, pruned (waiting at a rung, in the end for good), or unfinished before the first."""
    states = {TrialState.COMPLETE: "complete", TrialState.FAIL: "failed"}
    return states.get(trial.state, "pruned" if trial.intermediate_values else "unfinished")


def _as_known(trial: FrozenTrial) -> FrozenTrial:
    waits = trial.state == TrialState.RUNNING and trial.intermediate_values
    return create_trial(
        state=TrialState.PRUNED if waits else trial.state,
        params=trial.params,
        distributions=trial.distributions,
        intermediate_values=trial.intermediate_values,
        value=trial.value,
    )


def _suggest(trial: Trial, name: str, parameter: Range | Choices) -> None:
    if isinstance(parameter, Choices):
        trial.suggest_categorical(name, parameter.names)
    elif parameter.whole:
        trial.suggest_int(name, parameter.low, parameter.high, step=parameter.step)
    else:
        trial.suggest_float(name, parameter.low, parameter.high, log=parameter.log, step=parameter.step)
