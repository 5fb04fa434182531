"""Compare the models on the same resamples."""

from itertools import product
from pathlib import Path

from hounsfield.evaluation.compare import compare_models
from hounsfield.evaluation.exports import write_exports
from hounsfield.evaluation.folds import fold_table
from hounsfield.evaluation.settings import EvaluationSettings
from hounsfield.job import run_job
from hounsfield.tables import read_table, write_table


def main(snakemake):
    inputs, params = snakemake.input, snakemake.params
    settings = EvaluationSettings.from_config(params.evaluation)
    scored = [*params.models, *params.baselines]
    predictions, histories = ({model: {} for model in models} for models in (scored, params.models))
    for (model, seed), *paths in zip(product(scored, params.seeds), inputs.val, inputs.test, strict=True):
        predictions[model][seed] = tuple(read_table(path, ["volume", "scan", "patient"]) for path in paths)
    for (model, seed), history in zip(product(params.models, params.seeds), inputs.history, strict=True):
        histories[model][seed] = read_table(history)
    metadata = read_table(inputs.metadata, ["volume"])
    footprints = dict(zip(params.models, map(read_table, inputs.footprints), strict=True))
    tables = compare_models(
        predictions, params.pathologies, settings, metadata, histories, footprints, params.baselines
    )
    if settings.folds:
        tables["folds"] = fold_table(
            read_folds(inputs.folds, params, len(settings.folds)), params.pathologies, settings
        )
    folder = Path(snakemake.output[0])
    for name, table in tables.items():
        write_table(table, folder / f"{name}.tsv")
    write_exports(predictions, tables, params.pathologies, settings, folder)


def read_folds(paths, params, count):
    """The folds' validation predictions by model and seed; `paths` go through the folds of each model and seed."""
    tables = iter([read_table(path, ["volume", "scan", "patient"]) for path in paths])
    scored = [*params.models, *params.baselines]
    return {model: {seed: [next(tables) for _ in range(count)] for seed in params.seeds} for model in scored}


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
