"""Write the report."""

from pathlib import Path

from hounsfield.job import run_job
from hounsfield.report.page import write_report


def main(snakemake):
    params = snakemake.params
    write_report(Path(params.results), Path(snakemake.output[0]), params.config, params.models, params.seeds)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
