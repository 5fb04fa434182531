"""Write the report."""

from pathlib import Path

from hounsfield.job import run_job
from hounsfield.report.page import write_report


def main(snakemake):
    page, params = Path(snakemake.output[0]), snakemake.params
    write_report(page.parents[1], page, params.config, params.models, params.seeds, params.written)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
