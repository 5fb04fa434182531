"""Compare the models on the same resamples."""

from itertools import product
from pathlib import Path

from hounsfield.evaluation.compare import compare_models
from hounsfield.evaluation.settings import EvaluationSettings
from hounsfield.job import run_job
from hounsfield.tables import read_table, write_table


def main(snakemake):
    settings = EvaluationSettings.from_config(snakemake.params.evaluation)
    runs = {model: {} for model in snakemake.params.models}
    order = product(snakemake.params.models, snakemake.params.seeds)
    for (model, seed), *paths in zip(order, snakemake.input.val, snakemake.input.test, strict=True):
        runs[model][seed] = tuple(read_table(path, text=["volume", "scan", "patient"]) for path in paths)
    comparison = compare_models(runs, snakemake.params.pathologies, settings)
    for name in ("models", "pairs", "seeds"):
        write_table(getattr(comparison, name), Path(snakemake.output[0]) / f"{name}.tsv")


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
