"""Compare the models on the same resamples."""

from pathlib import Path

from hounsfield.evaluation.compare import compare_models
from hounsfield.evaluation.exports import write_exports
from hounsfield.evaluation.external import external_table
from hounsfield.evaluation.settings import EvaluationSettings
from hounsfield.job import run_job
from hounsfield.predictions import read_predictions
from hounsfield.tables import read_table, write_table


def main(snakemake):
    inputs, params = snakemake.input, snakemake.params
    settings = EvaluationSettings.from_config(params.evaluation)
    scored = [*params.models, *params.baselines]
    pairs = zip(map(read_predictions, inputs.val), map(read_predictions, inputs.test), strict=True)
    predictions = by_run(scored, params.seeds, pairs)
    histories = by_run(params.models, params.seeds, map(read_table, inputs.history))
    metadata = read_table(inputs.metadata, ["volume"])
    footprints = dict(zip(params.models, map(read_table, inputs.footprints), strict=True))
    folds = read_folds(inputs, scored, params.seeds, params.folds) if params.folds > 1 else None
    tables = compare_models(
        predictions, params.pathologies, settings, metadata, histories, footprints, folds, params.baselines
    )
    if params.internal:
        internal = by_run(params.models, params.seeds, map(read_predictions, inputs.internal_test))
        tables["external"] = external_table(predictions, internal, params.internal["pathologies"], settings)
    folder = Path(snakemake.output[0])
    for name, table in tables.items():
        write_table(table, folder / f"{name}.tsv")
    write_exports(predictions, tables, params.pathologies, settings, folder)


def by_run(models, seeds, items):
    """One of `items` for each model and seed, which they go through in that order."""
    items = iter(items)
    return {model: {seed: next(items) for seed in seeds} for model in models}


def read_folds(inputs, models, seeds, count):
    """The folds' predictions (validation, test) by model and seed; the paths go through the folds of each of these."""
    pairs = list(zip(map(read_predictions, inputs.folds), map(read_predictions, inputs.folds_test), strict=True))
    return by_run(models, seeds, (pairs[start : start + count] for start in range(0, len(pairs), count)))


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
