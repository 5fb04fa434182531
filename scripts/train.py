"""Train one model under one seed."""

from pathlib import Path

from hounsfield.job import run_job
from hounsfield.tables import read_table
from hounsfield.training.devices import lease_devices
from hounsfield.training.job import TrainingJob
from hounsfield.training.settings import TrainingSettings
from hounsfield.training.trainer import train_model
from hounsfield.volumes.settings import PreprocessingSettings
from hounsfield.volumes.store import VolumeStore


def main(snakemake):
    # Where the store lies and what W&B is told are not parameters: they change no result.
    job = TrainingJob(
        directory=Path(snakemake.output.best).parent,
        dataset=read_table(snakemake.input.dataset, text=["volume", "scan", "patient", "split", "key"]),
        pathologies=tuple(snakemake.params.pathologies),
        store=VolumeStore(snakemake.config["store"]),
        preprocessing=PreprocessingSettings.from_config(snakemake.params.preprocessing),
        training=TrainingSettings.from_config(snakemake.params.training),
        block=snakemake.params.model,
        seed=int(snakemake.wildcards.seed),
        code=snakemake.params.code,
        threads=snakemake.threads,
        tracking=snakemake.config["wandb"],
    )
    with lease_devices(snakemake.resources.gpu):
        train_model(job)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
