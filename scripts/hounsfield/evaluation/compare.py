"""Models against each other, on the same resamples of the same patients."""

from collections.abc import Collection, Mapping, Sequence

import pandas as pd

from hounsfield.errors import TableError
from hounsfield.evaluation.analysis import analyse, mean_over_seeds, over_same_labels
from hounsfield.evaluation.chance import chance_table
from hounsfield.evaluation.ensembles import ensemble_tables, ensembles_of
from hounsfield.evaluation.folds import Folds, fold_ensembles, fold_table
from hounsfield.evaluation.pairs import pair_table
from hounsfield.evaluation.predictions import same_scans
from hounsfield.evaluation.protocols import protocol_table
from hounsfield.evaluation.scored_model import ScoredModel, prepare_model
from hounsfield.evaluation.settings import EvaluationSettings
from hounsfield.evaluation.subgroups import groups_of, subgroup_table
from hounsfield.evaluation.tables import calibration_tables, cost_table, model_table, seed_table

PredictionTables = Mapping[str, Mapping[int, tuple[pd.DataFrame, pd.DataFrame]]]
Histories = Mapping[str, Mapping[int, pd.DataFrame]]


def compare_models(
    predictions: PredictionTables,
    pathologies: Sequence[str],
    settings: EvaluationSettings,
    metadata: pd.DataFrame | None = None,
    histories: Histories | None = None,
    footprints: Mapping[str, pd.DataFrame] | None = None,
    folds: Folds | None = None,
    baselines: Collection[str] = (),
) -> dict[str, pd.DataFrame]:
    """Tables by name: models, pairs, chance, seeds, ensembles, folds, calibration, reliability, subgroups, protocols,
    cost, and operating_points/{ensemble}.

    predictions[model][seed] = (validation, test); metadata: volume and subgroup columns; histories[model][seed];
    footprints[model]: what its network costs to use; folds[model][seed]: (validation, test) of each fold.
    baselines: models that take no part in ensembles.
    Raises TableError if the runs were not made on the same scans and labels.
    """
    scored_models = {
        model: {seed: prepare_model(*tables, pathologies, settings) for seed, tables in seeds.items()}
        for model, seeds in predictions.items()
    }
    check_same_scans(scored_models)
    results = {
        model: {seed: analyse(scored.test, scored.decisions, settings) for seed, scored in seeds.items()}
        for model, seeds in scored_models.items()
    }
    results = over_same_labels(results)
    means = {model: mean_over_seeds(list(seeds.values())) for model, seeds in results.items()}
    lists = {model: list(seeds.values()) for model, seeds in scored_models.items()}
    tables = {"models": model_table(results), "pairs": pair_table(means, pathologies, settings)}
    networks = {model: seeds for model, seeds in lists.items() if model not in baselines}
    tables |= {"seeds": seed_table(results), "chance": chance_table(means, baselines, pathologies, settings)}
    ensembles = ensembles_of(networks, settings)
    if folds is not None:
        tables["folds"] = fold_table(folds, pathologies, settings)
        ensembles |= fold_ensembles({model: folds[model] for model in networks}, pathologies, settings)
    tables |= ensemble_tables(ensembles, pathologies, settings)
    tables["calibration"], tables["reliability"] = calibration_tables(scored_models, pathologies, settings.bins)
    groups = {}
    if metadata is not None:
        test = next(iter(next(iter(predictions.values())).values()))[1]
        groups = groups_of(metadata, test, settings.level, settings.bands)
    tables["subgroups"] = subgroup_table(lists, groups, pathologies, settings)
    tables["protocols"] = protocol_table(scored_models, pathologies, settings)
    return tables | {"cost": cost_table(histories or {}, footprints)}


def check_same_scans(scored_models: Mapping[str, Mapping[int, ScoredModel]]) -> None:
    """Raises TableError unless all runs have the scans, patients and labels of the first, in both splits."""
    first = next(iter(next(iter(scored_models.values())).values()))
    for model, seeds in scored_models.items():
        for seed, scored in seeds.items():
            for split in ("validation", "test"):
                if not same_scans(getattr(scored, split), getattr(first, split)):
                    raise TableError(
                        f"{model}, seed {seed}: its {split} scans or labels are not the other models'; predict again"
                    )
