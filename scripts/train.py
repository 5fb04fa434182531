"""Train one model under one seed."""

from pathlib import Path

from hounsfield.job import run_job
from hounsfield.training.devices import lease_devices
from hounsfield.training.launch import launch


def main(snakemake):
    # Where the store lies and what W&B is told are not parameters: they change no result.
    spec = {
        "directory": str(Path(snakemake.output.best).parent),
        "dataset": snakemake.input.dataset,
        "pathologies": snakemake.params.pathologies,
        "store": snakemake.config["store"],
        "preprocessing": snakemake.params.preprocessing,
        "training": snakemake.params.training,
        "block": snakemake.params.model,
        "seed": int(snakemake.wildcards.seed),
        "code": snakemake.params.code,
        "threads": snakemake.threads,
        "tracking": snakemake.config["wandb"],
    }
    gpus = spec["training"].get("gpu", 1)
    with lease_devices(gpus) as devices:
        launch(spec, len(devices) or gpus, snakemake.log[0])


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
