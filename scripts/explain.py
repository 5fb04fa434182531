"""Show where one model looks, on example scans."""

from pathlib import Path

from hounsfield.devices import lease_devices
from hounsfield.explain.phantom_truth import PhantomTruth
from hounsfield.explain.saliency import explain_model
from hounsfield.explain.settings import ExplainSettings
from hounsfield.job import run_job
from hounsfield.predictions import read_predictions
from hounsfield.tables import read_dataset
from hounsfield.volumes.remake import store_of_run
from hounsfield.volumes.settings import PreprocessingSettings


def main(snakemake):
    params, truth = snakemake.params, None
    if params.demo:
        truth = PhantomTruth(params.demo, params.seed, PreprocessingSettings.from_config(params.preprocessing)).mask
    with lease_devices(snakemake.resources.gpu):
        explain_model(
            snakemake.input.best,
            read_dataset(snakemake.input.dataset),
            read_predictions(snakemake.input.predictions),
            store_of_run(snakemake.config, snakemake.input.dataset),
            Path(snakemake.output[0]),
            ExplainSettings.from_config(params.explain),
            snakemake.threads,
            truth,
        )


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
