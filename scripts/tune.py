"""Search for better settings of one model, as one of several workers."""

from pathlib import Path

from hounsfield.devices import lease_devices
from hounsfield.job import run_job
from hounsfield.tables import write_table
from hounsfield.tuning.search import Search, search_spec, work


def main(snakemake):
    results = Path(snakemake.output[0]).parents[1]
    spec = search_spec(snakemake.params.search, snakemake.config, snakemake.wildcards.model, results)
    search = Search.from_spec(spec | {"dataset": snakemake.input.dataset, "threads": snakemake.threads})
    with lease_devices(snakemake.resources.gpu):
        write_table(work(search), snakemake.output[0])


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
