"""What the folder of a run tells of one of its models, for the model card."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from hounsfield.tables import read_table


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


def run_folder(checkpoint: Path) -> Path | None:
    """results/{name} of results/{name}/models/{model}/seed{seed}/best.pth; None for a checkpoint elsewhere."""
    parents = checkpoint.absolute().parents
    usual = len(parents) > 3 and parents[2].name == "models" and parents[0].name.startswith("seed")
    return parents[3] if usual else None


def whole_run(results: Path) -> Path:
    """The run's folder of a run's or of one of its folds, results/{name}/folds/{k}."""
    return results.parents[1] if results.parent.name == "folds" else results


def read_facts(
    checkpoint: Path, training: Mapping[str, Any] | None = None, evaluation: Mapping[str, Any] | None = None
) -> RunFacts:
    """The facts beside `checkpoint`, with the settings, which lie in no file. Raises TableError for a damaged table."""
    results = run_folder(checkpoint)
    if results is None:
        return RunFacts(training=training, evaluation=evaluation)
    seed = checkpoint.absolute().parent
    metrics = results / "metrics" / seed.parent.name / seed.name
    tables = {
        "dataset": (results / "cohort/dataset.tsv", ["volume", "scan", "patient", "split"]),
        "history": (seed / "history.tsv", []),
        "overall": (metrics / "overall.tsv", ["metric"]),
        "per_pathology": (metrics / "per_pathology.tsv", ["pathology"]),
    }
    found = {name: read_table(path, text) if path.exists() else None for name, (path, text) in tables.items()}
    run = whole_run(results)
    name = run.name if run == results else f"{run.name}, fold {results.name}"
    names = {"run": name, "model": seed.parent.name, "seed": seed.name.removeprefix("seed")}
    return RunFacts(**names, **found, training=training, evaluation=evaluation)
