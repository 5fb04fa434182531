"""What the folder of a run tells of one of its models, for the model card."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from hounsfield.layout import trained_of
from hounsfield.tables import DATASET_COLUMNS, read_table


@dataclass(frozen=True)
class RunFacts:
    """Names, tables and settings of a run; None for what is not there.

    dataset: cohort/dataset.tsv. history: of the training. overall, per_pathology: the test metrics.
    """

    run: str | None = None
    model: str | None = None
    seed: str | None = None
    dataset: pd.DataFrame | None = None
    history: pd.DataFrame | None = None
    overall: pd.DataFrame | None = None
    per_pathology: pd.DataFrame | None = None
    training: Mapping[str, Any] | None = None
    evaluation: Mapping[str, Any] | None = None


def read_facts(
    checkpoint: Path, training: Mapping[str, Any] | None = None, evaluation: Mapping[str, Any] | None = None
) -> RunFacts:
    """The facts beside `checkpoint`, with the settings, which lie in no file. Raises TableError for a damaged table."""
    trained = trained_of(checkpoint)
    if trained is None:
        return RunFacts(training=training, evaluation=evaluation)
    run, model, seed = trained.run, trained.model, trained.seed
    tables = {
        "dataset": (run.cohort("dataset"), DATASET_COLUMNS),
        "history": (run.history(model, seed), []),
        "overall": (run.metrics(model, seed, "overall"), ["metric"]),
        "per_pathology": (run.metrics(model, seed, "per_pathology"), ["pathology"]),
    }
    found = {name: read_table(path, text) if path.exists() else None for name, (path, text) in tables.items()}
    names = {"run": run.spoken, "model": model, "seed": seed}
    return RunFacts(**names, **found, training=training, evaluation=evaluation)
