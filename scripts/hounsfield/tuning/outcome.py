"""What the search leaves: a table of the trials, and the best block."""

import json
from typing import Any

import pandas as pd
import yaml
from optuna.trial import FrozenTrial

from hounsfield.errors import TrainingError
from hounsfield.tables import read_table
from hounsfield.tuning.search import Search, remove_networks
from hounsfield.tuning.space import Range, values_of
from hounsfield.tuning.study import BASELINE, state_of

ORDER = ("architecture", "variant", "options", "weights", "training", "tune")
BEFORE, AFTER = ["number", "state", "epochs", "value"], ["seconds", "message"]


def trials_table(search: Search, trials: list[FrozenTrial]) -> pd.DataFrame:
    """A row a trial: number, state, epochs, value at its last rung, each parameter by its dotted key, seconds, message.

    The parameters of the first, the configuration as it is, are empty. seconds: of training and validation.
    """
    rows = []
    for trial in trials:
        history = search.study.trial_folder(trial.number) / "history.tsv"
        spent = read_table(history)["seconds"] if history.exists() else pd.Series(dtype=float)
        row = {"number": trial.number, "state": state_of(trial), "epochs": len(spent)}
        row |= {name: _cell(value) for name, value in values_of(search.space, trial.params).items()}
        if trial.intermediate_values and state_of(trial) != "failed":
            row["value"] = trial.intermediate_values[trial.last_step]
        rows.append(row | {"seconds": spent.sum(min_count=1), "message": trial.user_attrs.get("message")})
    table = pd.DataFrame(rows, columns=[*BEFORE, *search.space, *AFTER])
    whole = [name for name, parameter in search.space.items() if isinstance(parameter, Range) and parameter.whole]
    return table.astype(dict.fromkeys(whole, "Int64"))


def finished_trials(search: Search) -> list[FrozenTrial]:
    """All trials of the study, their networks removed. Raises TrainingError if it is gone or none came to its end."""
    trials = search.study.open().get_trials()
    if not trials:
        raise TrainingError(f"{search.study.folder}: holds no trial any more; search again with --forcerun tune")
    for trial in trials:
        remove_networks(search.study.trial_folder(trial.number))
    if not any(state_of(trial) == "complete" for trial in trials):
        reason = next((trial.user_attrs.get("message") for trial in trials), None)
        raise TrainingError(
            f"none of {len(trials)} trials came to its end; the first said: {reason or 'nothing'};"
            f" mend that, and remove {search.study.folder} if the configuration stays as it is"
        )
    return trials


def best_trial(search: Search, trials: list[FrozenTrial]) -> FrozenTrial:
    """Of the trials that were trained to the end the best, the earliest of equals."""
    complete = [trial for trial in trials if state_of(trial) == "complete"]
    sign = -1 if search.settings.lower_is_better else 1
    return max(complete, key=lambda trial: (sign * trial.value, -trial.number))


def best_block(search: Search, model: str, trial: FrozenTrial, count: int) -> str:
    """YAML of the model's block with a trial's values, and what is to be known of it as a comment."""
    which = "the configuration as it is" if trial.number == BASELINE else f"trial {trial.number}"
    lines = [
        f"# The best of {count} trials, {which}: {search.settings.metric} {trial.value:.4f} on validation,",
        "# one training. It was chosen by that number, which flatters it: judge it on the test split after retraining.",
    ]
    block = search.block(values_of(search.space, trial.params))
    block = {key: block[key] for key in ORDER if key in block}
    return "\n".join([*lines, yaml.safe_dump({model: block}, sort_keys=False, allow_unicode=True)])


def _cell(value: Any) -> Any:
    """Numbers and words as they are, anything else as JSON."""
    whole = isinstance(value, str) or (isinstance(value, (int, float)) and not isinstance(value, bool))
    return value if whole else json.dumps(value)
