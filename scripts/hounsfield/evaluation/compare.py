"""Models against each other, on the same resamples of the same patients."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from hounsfield.errors import TableError
from hounsfield.evaluation.intervals import patient_weights, percentile_interval
from hounsfield.evaluation.scores import Scores, gather_scores
from hounsfield.evaluation.settings import EvaluationSettings
from hounsfield.evaluation.thresholds import choose_thresholds
from hounsfield.evaluation.weighted import RANKING_METRICS, overall_metrics, per_pathology_metrics

PAIR_COLUMNS = ["model_a", "model_b", "pathology", "metric", "a", "b", "difference", "low", "high", "p", "p_holm"]
MACRO = "(macro)"


@dataclass(frozen=True)
class Comparison:
    """models: a row a model and metric, the mean over seeds. pairs: differences. seeds: a row a model, seed, metric."""

    models: pd.DataFrame
    pairs: pd.DataFrame
    seeds: pd.DataFrame


Runs = Mapping[str, Mapping[int, tuple[pd.DataFrame, pd.DataFrame]]]


def compare_models(runs: Runs, pathologies: Sequence[str], settings: EvaluationSettings) -> Comparison:
    """Compare `runs[model][seed] = (val predictions, test predictions)`. Raises TableError if the scans differ."""
    overall, ranking = {}, {}
    for model, seeds in runs.items():
        scored = {seed: _score(val, test, pathologies, settings) for seed, (val, test) in seeds.items()}
        overall[model] = {seed: result[0] for seed, result in scored.items()}
        # A model's metric is the mean over its seeds, in each resample.
        ranking[model] = {
            name: np.mean([each[1][name] for each in scored.values()], axis=0) for name in RANKING_METRICS
        }
    _check_same_scans(runs, pathologies, settings)
    return Comparison(_models(overall, settings), _pairs(ranking, pathologies, settings), _seeds(overall))


def holm(p_values: np.ndarray) -> np.ndarray:
    """Adjusted p values (Holm, 1979)."""
    order = np.argsort(p_values)
    factors = len(p_values) - np.arange(len(p_values))
    adjusted = np.maximum.accumulate(p_values[order] * factors).clip(max=1)
    result = np.empty(len(p_values))
    result[order] = adjusted
    return result


def _score(val: pd.DataFrame, test: pd.DataFrame, pathologies: Sequence[str], settings: EvaluationSettings) -> tuple:
    """Overall metrics and ranking metrics, (1 + R,) and (1 + R, P + 1): the value first, then the resamples."""
    thresholds = choose_thresholds(gather_scores(val, pathologies, settings.level), settings)
    scores = gather_scores(test, pathologies, settings.level)
    weights = _weights(scores, settings)
    columns = per_pathology_metrics(scores, thresholds, weights)
    overall = overall_metrics(scores, thresholds, weights, columns)
    ranking = {name: np.column_stack([columns[name], overall[f"{name}_macro"]]) for name in RANKING_METRICS}
    return overall, ranking


def _weights(scores: Scores, settings: EvaluationSettings) -> np.ndarray:
    drawn = patient_weights(scores.patients, settings.replicates, settings.seed)
    return np.concatenate([np.ones((1, drawn.shape[1])), drawn])


def _check_same_scans(runs: Runs, pathologies: Sequence[str], settings: EvaluationSettings) -> None:
    reference = None
    for model, seeds in runs.items():
        for seed, (_, test) in seeds.items():
            scores = gather_scores(test, pathologies, settings.level)
            reference = scores if reference is None else reference
            same = np.array_equal(scores.units, reference.units)
            if not same or not np.array_equal(scores.labels, reference.labels, equal_nan=True):
                raise TableError(f"{model}, seed {seed}: its test scans or labels are not those of the other models")


def _models(overall: Mapping, settings: EvaluationSettings) -> pd.DataFrame:
    rows = []
    for model, seeds in overall.items():
        for metric in next(iter(seeds.values())):
            samples = np.mean([values[metric] for values in seeds.values()], axis=0)
            low, high = percentile_interval(samples[1:], settings.confidence)
            rows.append({"model": model, "metric": metric, "value": samples[0], "low": low, "high": high})
    return pd.DataFrame(rows, columns=["model", "metric", "value", "low", "high"])


def _pairs(ranking: Mapping, pathologies: Sequence[str], settings: EvaluationSettings) -> pd.DataFrame:
    rows = []
    for model_a, model_b in combinations(ranking, 2):
        for metric in RANKING_METRICS:
            a, b = ranking[model_a][metric], ranking[model_b][metric]
            for column, name in enumerate([*pathologies, MACRO]):
                difference = a[:, column] - b[:, column]
                low, high = percentile_interval(difference[1:], settings.confidence)
                cells = [a[0, column], b[0, column], difference[0], low, high, _p_value(difference[1:]), np.nan]
                rows.append([model_a, model_b, name, metric, *cells])
    table = pd.DataFrame(rows, columns=PAIR_COLUMNS)
    for _, group in table[table["p"].notna()].groupby("metric"):
        table.loc[group.index, "p_holm"] = holm(group["p"].to_numpy())
    return table


def _p_value(differences: np.ndarray) -> float:
    """Two-sided, from the share of resamples on either side of zero, each side at least one resample."""
    differences = differences[~np.isnan(differences)]
    if differences.size == 0:
        return float("nan")
    sides = [(np.sum(differences <= 0) + 1), (np.sum(differences >= 0) + 1)]
    return float(min(1.0, 2 * min(sides) / (differences.size + 1)))


def _seeds(overall: Mapping) -> pd.DataFrame:
    rows = [
        {"model": model, "seed": seed, "metric": metric, "value": values[0]}
        for model, seeds in overall.items()
        for seed, metrics in seeds.items()
        for metric, values in metrics.items()
    ]
    return pd.DataFrame(rows, columns=["model", "seed", "metric", "value"])
