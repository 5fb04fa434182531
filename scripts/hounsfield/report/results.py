"""What the run left on disk, read for the page."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from hounsfield.cohort.settings import training_runs
from hounsfield.evaluation.predictions import gather_predictions
from hounsfield.layout import RunFolder
from hounsfield.predictions import read_predictions
from hounsfield.tables import read_table

MACRO = "(macro)"


@dataclass(frozen=True)
class Results:
    """Tables of one run. Those by model and seed are nested dicts; `comparison` holds every table of that folder.

    runs: folders that were trained in: `folder`, and those of further folds.
    baselines: their blocks of the configuration; they are among the models wherever something is scored.
    """

    folder: Path
    pathologies: list[str]
    per_pathology: dict[str, dict[int, pd.DataFrame]]
    overall: dict[str, dict[int, pd.DataFrame]]
    predictions: dict[str, pd.DataFrame]
    histories: dict[str, dict[int, pd.DataFrame]]
    comparison: dict[str, pd.DataFrame]
    examples: dict[str, pd.DataFrame]
    pointing: dict[str, pd.DataFrame]
    summary: pd.DataFrame
    excluded: pd.DataFrame
    stages: pd.DataFrame
    runs: Sequence[Path] = ()
    baselines: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def first(self) -> dict[str, pd.DataFrame]:
        """per_pathology of each model's first seed."""
        return {model: next(iter(seeds.values())) for model, seeds in self.per_pathology.items()}

    @property
    def several_seeds(self) -> bool:
        """Whether each model was trained more than once."""
        return any(len(seeds) > 1 for seeds in self.per_pathology.values())

    def calibrated(self, model: str, pathology: str, logits: np.ndarray) -> np.ndarray:
        """Logits of the model's first seed as they were scored: by the map that validation gave."""
        frame = self.comparison.get("calibration")
        if frame is None:
            return logits
        seed = next(iter(self.per_pathology[model]))
        rows = frame[(frame["model"] == model) & (frame["seed"] == seed) & (frame["pathology"] == pathology)]
        if rows.empty:
            return logits
        return logits * rows["scale"].iloc[0] + rows["offset"].iloc[0]


def read_results(folder: Path, config: Mapping[str, Any], models: Sequence[str], seeds: Sequence[int]) -> Results:
    """Everything below results/{name} that the page shows. Raises TableError if a table is missing or damaged."""
    runs = [folder.parent / run for run in training_runs({"name": folder.name, "split": config.get("split", {})})]
    baselines = config.get("baselines", {})
    scored_models = [*models, *sorted(baselines)]
    # On an external cohort, the networks are those of another run.
    trained = folder.with_name(config["internal"]["name"]) if "internal" in config else folder

    def each(place: Callable[[str, int], Path], models: Sequence[str], text: Sequence[str] = ()) -> Any:
        return {model: {seed: read_table(place(model, seed), text) for seed in seeds} for model in models}

    run = RunFolder(folder)
    comparison = {path.stem: _names_as_text(path) for path in sorted(run.comparison.glob("*.tsv"))}
    for name in ("models", "pairs"):
        if name not in comparison:
            comparison[name] = read_table(run.comparison / f"{name}.tsv", ["model", "metric"])
    return Results(
        folder=folder,
        pathologies=list(config["cohort"]["pathologies"]),
        per_pathology=each(partial(run.metrics, table="per_pathology"), scored_models, ["pathology"]),
        overall=each(partial(run.metrics, table="overall"), scored_models, ["metric"]),
        predictions={model: read_predictions(run.predictions(model, seeds[0], "test")) for model in scored_models},
        histories=each(RunFolder(trained).history, models),
        comparison=comparison,
        examples={model: _examples(run.explanations(model) / "index.tsv") for model in models},
        pointing={
            model: read_table(path, ["pathology"])
            for model in models
            if (path := run.explanations(model) / "pointing.tsv").exists()
        },
        summary=read_table(run.cohort("summary"), ["split", "label"]),
        excluded=read_table(run.cohort("excluded"), ["volume", "reason", "detail"]),
        stages=_stages([RunFolder(each_run).benchmarks for each_run in runs]),
        runs=runs,
        baselines={name: dict(block) for name, block in baselines.items()},
    )


def scored(results: Results, pathology: str, level: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By model: labels and probabilities (N,) of the test scans (or volumes) whose label is known, first seed."""
    pairs = {}
    for model, table in results.predictions.items():
        scores = gather_predictions(table, [pathology], level)
        known = ~np.isnan(scores.labels[:, 0])
        probabilities = expit(results.calibrated(model, pathology, scores.logits[known, 0]))
        pairs[model] = (scores.labels[known, 0], probabilities)
    return pairs


def _names_as_text(path: Path) -> pd.DataFrame:
    """A table whose columns of names, if it has them, stay as they are written ("001", "NA")."""
    header = read_table(path).columns
    names = ("model", "model_a", "model_b", "pathology", "metric", "column", "group", "label", "ensemble")
    return read_table(path, [column for column in header if column in names])


def _examples(path: Path) -> pd.DataFrame:
    return read_table(path, ["pathology", "volume", "outcome", "method", "picture"])


def _stages(folders: Sequence[Path]) -> pd.DataFrame:
    """Snakemake's benchmarks, summed by stage: jobs, seconds, seconds of processors, largest memory in GiB."""
    rows = []
    found = [(path.relative_to(folder).parts[0], path) for folder in folders for path in sorted(folder.rglob("*.tsv"))]
    for stage, path in found:
        # Snakemake writes NA, and "-" for what it could not measure.
        table = read_table(path).apply(pd.to_numeric, errors="coerce")
        if {"s", "max_rss", "cpu_time"} <= set(table):
            rows.append({"stage": stage.removesuffix(".tsv"), **table[["s", "max_rss", "cpu_time"]].iloc[-1].to_dict()})
    columns = {"s": "seconds", "cpu_time": "processor_seconds", "max_rss": "memory_gib"}
    frame = pd.DataFrame(rows, columns=["stage", *columns]).rename(columns=columns)
    grouped = frame.groupby("stage", sort=False)
    stages = grouped.agg(
        jobs=("stage", "size"),
        seconds=("seconds", "sum"),
        processor_seconds=("processor_seconds", "sum"),
        memory_gib=("memory_gib", "max"),
    )
    stages["memory_gib"] /= 1024
    return stages.sort_values("seconds", ascending=False).reset_index()
