"""Measure what one network costs to use."""

from hounsfield.devices import lease_devices
from hounsfield.inference.footprint import measure_network
from hounsfield.job import run_job
from hounsfield.tables import read_dataset, write_table
from hounsfield.volumes.remake import store_of_run


def main(snakemake):
    dataset = read_dataset(snakemake.input.dataset)
    with lease_devices(snakemake.resources.gpu):
        store = store_of_run(snakemake.config, snakemake.input.dataset)
        table = measure_network(snakemake.input.best, dataset, store, snakemake.threads)
    write_table(table, snakemake.output[0])


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
