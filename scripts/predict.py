"""Score one split with a trained model."""

from hounsfield.devices import lease_devices
from hounsfield.job import run_job
from hounsfield.tables import read_dataset, write_table
from hounsfield.training.predict import predict_split
from hounsfield.training.settings import TrainingSettings
from hounsfield.volumes.remake import store_of_run


def main(snakemake):
    dataset = read_dataset(snakemake.input.dataset)
    with lease_devices(snakemake.resources.gpu):
        predictions = predict_split(
            snakemake.input.best,
            dataset[dataset["split"] == snakemake.wildcards.split],
            store_of_run(snakemake.config, snakemake.input.dataset),
            TrainingSettings.from_config(snakemake.params.training),
            snakemake.params.preprocessing,
            snakemake.threads,
        )
    write_table(predictions, snakemake.output[0])


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
