"""Train one model under one seed."""

import shutil
from pathlib import Path

from hounsfield.config import deciding, merged
from hounsfield.devices import lease_devices
from hounsfield.job import run_job
from hounsfield.training.launch import launch


def main(snakemake):
    results = Path(snakemake.output.best).parent
    directory = checkpoint_folder(snakemake.config, snakemake.wildcards) or results
    # Where the store lies and what W&B is told are not parameters: they change no result.
    spec = {
        "directory": str(directory),
        "dataset": snakemake.input.dataset,
        "pathologies": snakemake.params.pathologies,
        "store": snakemake.config["store"],
        "preprocessing": snakemake.params.preprocessing,
        "training": neutral_settings(snakemake.config, snakemake.wildcards.model) | snakemake.params.training,
        "block": snakemake.params.model,
        "seed": int(snakemake.wildcards.seed),
        "code": snakemake.params.code,
        "threads": snakemake.threads,
        "tracking": snakemake.config["wandb"],
    }
    gpus = spec["training"].get("gpu", 1)
    with lease_devices(gpus) as devices:
        launch(spec, len(devices) or gpus, snakemake.log[0])
    if directory != results:
        for path in map(Path, snakemake.output):
            shutil.copyfile(directory / path.name, path)


def neutral_settings(config, model):
    """What of the training block changes no result, and so is no parameter."""
    block = merged(config["training"], config["models"][model].get("training", {}))
    return {key: value for key, value in block.items() if key not in deciding(block, "training")}


def checkpoint_folder(config, wildcards):
    """Where last.pth outlives the job, if results do so only once they are whole."""
    if config["checkpoints"] is None:
        return None
    return Path(config["checkpoints"], wildcards.run, wildcards.model, f"seed{wildcards.seed}")


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
