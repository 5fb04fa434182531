"""Paint the demo's phantom cohort."""

from pathlib import Path

from hounsfield.cohort.phantoms import write_phantoms
from hounsfield.job import run_job


def main(snakemake):
    folder = Path(snakemake.output.labels).parent
    write_phantoms(folder, seed=snakemake.params.seed, workers=snakemake.threads, **snakemake.params.demo)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
