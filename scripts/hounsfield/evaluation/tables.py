"""Tables of single runs beside one another: seeds, calibration, cost."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from hounsfield.evaluation.analysis import Result, mean_over_seeds
from hounsfield.evaluation.calibration import calibration_measures, reliability
from hounsfield.evaluation.score import label_count
from hounsfield.evaluation.scored_model import ScoredModel

MODEL_COLUMNS = ["model", "metric", "value", "low", "high", "seeds", "spread", "labels", "scope", "reason"]
ONE_TRAINING = "this network; another training was not tried"
COST = ["samples_per_second", "data_wait_share", "peak_memory_mb", "peak_gpu_memory_mb"]
FOOTPRINT = ["parameters", "gigaflops", "seconds_per_scan", "device"]

Seeds = Mapping[str, Mapping[int, Result]]


def model_table(results: Seeds) -> pd.DataFrame:
    """A row a model and metric: the mean over seeds, its interval, and the seeds' standard deviation.

    labels: over how many the mean is, the same ones for all models; scope: what the interval speaks of.
    """
    rows = []
    for model, seeds in results.items():
        mean = mean_over_seeds(list(seeds.values()))
        for metric in mean.metrics:
            each = [result.overall(metric).value for result in seeds.values()]
            spread = np.std(each, ddof=1) if len(each) > 1 else np.nan
            found = mean.overall(metric)
            counts = len(each), spread, label_count(mean, metric), scope(len(each))
            rows.append([model, metric, *found.interval, *counts, found.reason])
    return pd.DataFrame(rows, columns=MODEL_COLUMNS)


def scope(trainings: int) -> str:
    """What a statement from so many trainings speaks of."""
    return f"the method, from {trainings} trainings" if trainings > 1 else ONE_TRAINING


def seed_table(results: Seeds) -> pd.DataFrame:
    """A row a model, seed and metric."""
    rows = [
        [model, seed, metric, result.overall(metric).value]
        for model, seeds in results.items()
        for seed, result in seeds.items()
        for metric in result.metrics
    ]
    return pd.DataFrame(rows, columns=["model", "seed", "metric", "value"])


def calibration_tables(
    scored_models: Mapping[str, Mapping[int, ScoredModel]], pathologies: Sequence[str], bins: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Of each run and pathology the fitted map and how well it is calibrated, and the reliability bins."""
    rows, tables = [], []
    for model, seeds in scored_models.items():
        for seed, scored in seeds.items():
            for j, name in enumerate(pathologies):
                labels, probabilities = scored.test.labels[:, j], scored.test.probabilities[:, j]
                table = reliability(labels, probabilities, bins)
                fitted = {"scale": scored.calibration.scale[j], "offset": scored.calibration.offset[j]}
                measures = calibration_measures(labels, scored.test.logits[:, j], bins)
                rows.append({"model": model, "seed": seed, "pathology": name} | fitted | measures)
                keys = {"model": model, "seed": seed, "pathology": name}
                tables.append(pd.DataFrame([keys] * len(table)).join(table))
    return pd.DataFrame(rows), pd.concat(tables, ignore_index=True)


def cost_table(
    histories: Mapping[str, Mapping[int, pd.DataFrame]], footprints: Mapping[str, pd.DataFrame] | None = None
) -> pd.DataFrame:
    """A row a run, from its training history and its network's footprint (one row); what they lack stays empty."""
    rows = []
    for model, seeds in histories.items():
        footprint = dict.fromkeys(FOOTPRINT)
        if footprints and model in footprints:
            footprint |= footprints[model].iloc[0].to_dict()
        for seed, history in seeds.items():
            column = {name: history[name] if name in history else pd.Series([np.nan]) for name in ("seconds", *COST)}
            # `seconds` are each epoch's own; an epoch that used no GPU has no GPU memory.
            on_gpu = column["peak_gpu_memory_mb"].fillna(0).to_numpy() > 0
            seconds = column["seconds"].to_numpy(np.float64)
            hours = [seconds.sum() / 3600, np.where(on_gpu, seconds, seconds * 0).sum() / 3600]
            rates = column["samples_per_second"].median(), column["data_wait_share"].mean()
            peaks = column["peak_memory_mb"].max(), column["peak_gpu_memory_mb"].max()
            rows.append([model, seed, len(history), *hours, *rates, *peaks, *(footprint[name] for name in FOOTPRINT)])
    return pd.DataFrame(rows, columns=["model", "seed", "epochs", "training_hours", "gpu_hours", *COST, *FOOTPRINT])
