"""Cross-validation: every case scored by the network that did not see it, all folds together."""

import logging
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from hounsfield.errors import TableError
from hounsfield.evaluation.analysis import analyse, mean_over_seeds
from hounsfield.evaluation.ensembles import Ensemble, ensemble_model, mean_predictions
from hounsfield.evaluation.metrics import RANKING_METRICS
from hounsfield.evaluation.pairs import MACRO
from hounsfield.evaluation.predictions import Predictions, same_scans
from hounsfield.evaluation.score import overall_table, pathology_table
from hounsfield.evaluation.scored_model import ScoredModel, prepare_model
from hounsfield.evaluation.settings import EvaluationSettings
from hounsfield.evaluation.thresholds import choose_thresholds

log = logging.getLogger(__name__)

FOLD_COLUMNS = ["model", "pathology", "metric", "value", "low", "high"]
# folds[model][seed]: (validation, test) predictions of each fold.
Folds = Mapping[str, Mapping[int, Sequence[tuple[pd.DataFrame, pd.DataFrame]]]]


def score_folds(
    folds: Sequence[pd.DataFrame], pathologies: Sequence[str], settings: EvaluationSettings
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`score_model`'s tables over all folds, from each fold's out-of-fold predictions (its validation split's).

    A fold's calibration and thresholds come from the other folds; as each has its own, the threshold's cell is empty.
    Raises TableError if there are fewer than two folds, or a patient is in two.
    """
    scores, decisions = pool_folds(folds, pathologies, settings)
    result = analyse(scores, decisions, settings)
    thresholds = np.full(len(pathologies), np.nan)
    return pathology_table(scores, thresholds, result, pathologies), overall_table(result)


def fold_table(folds: Folds, pathologies: Sequence[str], settings: EvaluationSettings) -> pd.DataFrame:
    """A row a model, pathology (or "(macro)") and ranking metric, and of each further overall metric; mean over seeds.

    folds[model][seed]: each fold's predictions, of which those of validation are out of fold. Raises TableError as
    `score_folds` does.
    """
    rows = []
    for model, seeds in folds.items():
        pooled = [pool_folds([val for val, _ in parts], pathologies, settings) for parts in seeds.values()]
        result = mean_over_seeds([analyse(*each, settings) for each in pooled])
        for metric in RANKING_METRICS:
            rows += [[model, name, metric, *result.column(metric, j).interval] for j, name in enumerate(pathologies)]
        rows += [[model, MACRO, metric, *result.overall(metric).interval] for metric in result.metrics]
    return pd.DataFrame(rows, columns=FOLD_COLUMNS)


def pool_folds(
    folds: Sequence[pd.DataFrame], pathologies: Sequence[str], settings: EvaluationSettings
) -> tuple[Predictions, np.ndarray]:
    """Scores of all folds, one after another, and what is called present (N, P) at the other folds' thresholds."""
    if len(folds) < 2:
        raise TableError("cross-validation: one fold cannot get its thresholds from the others; give all folds")
    for (a, first), (b, second) in combinations(enumerate(folds), 2):
        both = set(first["patient"].astype(str)) & set(second["patient"].astype(str))
        if both:
            raise TableError(f"cross-validation: patient {min(both)} is in folds {a} and {b}; predict the folds again")
    runs = []
    for number, fold in enumerate(folds):
        others = pd.concat([other for k, other in enumerate(folds) if k != number], ignore_index=True)
        runs.append(prepare_model(others, fold, pathologies, settings))
    return _joined([scored.test for scored in runs]), np.concatenate([scored.decisions for scored in runs])


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
