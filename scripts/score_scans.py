"""Score one shard of new scans with a trained model."""

from hounsfield.devices import lease_devices
from hounsfield.inference.findings import read_networks, score_volumes, with_points
from hounsfield.job import run_job
from hounsfield.tables import read_table, write_table
from hounsfield.volumes.remake import store_of_shard


def main(snakemake):
    networks, thresholds = with_points(read_networks([snakemake.input.best]), None)
    stored = read_table(snakemake.input.stored, text=["volume", "key"])
    store = store_of_shard(snakemake.config, snakemake.input.stored)
    with lease_devices(snakemake.resources.gpu):
        scores = score_volumes(networks, thresholds, stored[stored["key"] != ""], store, snakemake.threads)
    write_table(scores, snakemake.output[0])


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
