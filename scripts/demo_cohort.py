"""Paint the demo's phantom cohort."""

from pathlib import Path

from hounsfield.job import run_job
from hounsfield.phantoms.cohort import write_phantoms


def main(snakemake):
    folder = Path(snakemake.output.labels).parent
    write_phantoms(folder, seed=snakemake.params.seed, workers=snakemake.threads, **snakemake.params.demo)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
