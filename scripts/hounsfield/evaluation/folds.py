"""Cross-validation: every case scored by the network that did not see it, and ranked among that network's own."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd

from hounsfield.errors import TableError
from hounsfield.evaluation.analysis import analyse, mean_over_seeds
from hounsfield.evaluation.ensembles import Ensemble, ensemble_model, mean_predictions
from hounsfield.evaluation.metrics import RANKING_METRICS, make_sample, point_metrics
from hounsfield.evaluation.pairs import MACRO
from hounsfield.evaluation.predictions import Predictions, gather_predictions, same_scans
from hounsfield.evaluation.score import overall_table, pathology_table
from hounsfield.evaluation.scored_model import ScoredModel, calibrated_model, prepare_model
from hounsfield.evaluation.settings import EvaluationSettings
from hounsfield.evaluation.thresholds import choose_thresholds

log = logging.getLogger(__name__)

FOLD_COLUMNS = ["model", "pathology", "metric", "value", "low", "high", "pooled"]
INNER_PARTS = 5  # of each fold, for calibration and thresholds
# folds[model][seed]: (validation, test) predictions of each fold.
Folds = Mapping[str, Mapping[int, Sequence[tuple[pd.DataFrame, pd.DataFrame]]]]


def score_folds(
    folds: Sequence[pd.DataFrame], pathologies: Sequence[str], settings: EvaluationSettings
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`score_model`'s tables over all folds, from each fold's out-of-fold predictions (its validation split's).

    As each part of a fold has a threshold of its own, the threshold's cell is empty. Raises TableError as
    `gather_folds` does.
    """
    scores, decisions = gather_folds(folds, pathologies, settings)
    result = analyse(scores, decisions, settings)
    thresholds = np.full(len(pathologies), np.nan)
    return pathology_table(scores, thresholds, result, pathologies), overall_table(result)


def fold_table(folds: Folds, pathologies: Sequence[str], settings: EvaluationSettings) -> pd.DataFrame:
    """A row a model, pathology (or "(macro)") and ranking metric, and of each further overall metric; mean over seeds.

    pooled: the ranking metric of all folds' raw scores in one ranking, which compares what has no common scale.
    folds[model][seed]: each fold's predictions, of which those of validation are out of fold. Raises TableError as
    `gather_folds` does.
    """
    rows = []
    for model, seeds in folds.items():
        gathered = [gather_folds([val for val, _ in parts], pathologies, settings) for parts in seeds.values()]
        result = mean_over_seeds([analyse(*each, settings) for each in gathered])
        pooled = [point_metrics(make_sample(replace(scores, folds=None), called)) for scores, called in gathered]
        for metric in RANKING_METRICS:
            mean = np.mean([each.columns[metric][0] for each in pooled], axis=0)
            found = [result.column(metric, j).interval for j in range(len(pathologies))]
            rows += [[model, name, metric, *found[j], mean[j]] for j, name in enumerate(pathologies)]
        for metric in result.metrics:
            ranks = metric.removesuffix("_macro").removesuffix("_micro") in RANKING_METRICS
            together = np.mean([each.overall[metric][0] for each in pooled]) if ranks else np.nan
            rows.append([model, MACRO, metric, *result.overall(metric).interval, together])
    return pd.DataFrame(rows, columns=FOLD_COLUMNS)


def gather_folds(
    folds: Sequence[pd.DataFrame], pathologies: Sequence[str], settings: EvaluationSettings
) -> tuple[Predictions, np.ndarray]:
    """Scores of all folds, one after another, and what is called present (N, P).

    Logits are the networks' own, to be ranked within folds. Probabilities and decisions of a fold's network come from
    its own held-out patients: those of each part of the fold by calibration and thresholds from the fold's other parts.
    Raises TableError if there are fewer than two folds, or a patient is in two.
    """
    if len(folds) < 2:
        raise TableError("cross-validation: one fold alone is no cross-validation; give all folds")
    for (a, first), (b, second) in combinations(enumerate(folds), 2):
        both = set(first["patient"].astype(str)) & set(second["patient"].astype(str))
        if both:
            raise TableError(f"cross-validation: patient {min(both)} is in folds {a} and {b}; predict the folds again")
    parts = [gather_predictions(fold, pathologies, settings.level) for fold in folds]
    made = [_decided(part, settings) for part in parts]
    numbers = np.repeat(np.arange(len(parts)), [len(part.units) for part in parts])
    return replace(_joined([scores for scores, _ in made]), folds=numbers), np.concatenate([each for _, each in made])


def _decided(scores: Predictions, settings: EvaluationSettings) -> tuple[Predictions, np.ndarray]:
    """One fold's scores with calibrated probabilities, and its decisions, of each part as the other parts say."""
    probabilities, decisions = scores.probabilities.copy(), np.zeros(scores.labels.shape, bool)
    own = inner_parts(scores)
    for part in np.unique(own):
        chosen = own == part
        fitted = calibrated_model(scores.take(~chosen), scores.take(chosen), settings)
        probabilities[chosen], decisions[chosen] = fitted.test.probabilities, fitted.decisions
    return replace(scores, probabilities=probabilities), decisions


def inner_parts(scores: Predictions) -> np.ndarray:
    """Number of each case's (N,) part of its fold: patients dealt out in turn, those with the rarest labels first."""
    size = int(scores.patients.max(initial=-1)) + 1
    positive = np.zeros((size, scores.labels.shape[1]), bool)
    np.logical_or.at(positive, scores.patients, scores.labels == 1)
    rarest = np.argsort(positive.sum(axis=0), kind="stable")
    order = np.lexsort([np.arange(size), *(~positive[:, j] for j in rarest[::-1])])
    number = np.empty(size, int)
    number[order] = np.arange(size) % min(INNER_PARTS, max(size, 1))
    return number[scores.patients]


def fold_ensembles(folds: Folds, pathologies: Sequence[str], settings: EvaluationSettings) -> dict[str, Ensemble]:
    """Each model's ensemble of all folds' networks (and seeds), on the test split that the folds share.

    folds[model][seed]: each fold's predictions (validation, test). Its thresholds come from the out-of-fold
    predictions of all folds together, which are of single folds' networks: no scan is unseen by all of them.
    A model whose folds have unlike test splits gets none, and the log says so.
    """
    found = {}
    for model, seeds in folds.items():
        parts = [
            ensemble_model([prepare_model(*tables, pathologies, settings) for tables in each], settings)
            for each in zip(*seeds.values(), strict=True)
        ]
        if not all(same_scans(scored.test, parts[0].test) for scored in parts):
            log.warning("%s: the folds have unlike test splits, so there is no ensemble of them", model)
            continue
        validation, test = (
            _joined([scored.validation for scored in parts]),
            mean_predictions([scored.test for scored in parts]),
        )
        scored = ScoredModel(validation, test, choose_thresholds(validation, settings), parts[0].calibration)
        found[f"{model}, {len(parts)} folds"] = Ensemble(len(parts) * len(seeds), scored)
    return found


def _joined(parts: Sequence[Predictions]) -> Predictions:
    arrays = (np.concatenate([getattr(part, name) for part in parts]) for name in ("labels", "logits", "probabilities"))
    firsts = np.cumsum([0, *(part.patients.max(initial=-1) + 1 for part in parts)])
    patients = np.concatenate([part.patients + first for part, first in zip(parts, firsts, strict=False)])
    return Predictions(*arrays, patients, np.concatenate([part.units for part in parts]))
