"""Put one shard's volumes into the store."""

from hounsfield.job import run_job
from hounsfield.tables import read_table, write_table
from hounsfield.volumes.preprocess import SHARD_TEXT, preprocess_shard
from hounsfield.volumes.settings import PreprocessingSettings
from hounsfield.volumes.store import VolumeStore


def main(snakemake):
    rows = read_table(snakemake.input[0], text=SHARD_TEXT)
    settings = PreprocessingSettings.from_config(snakemake.params.preprocessing)
    # Where the store lies is not a parameter: moving it changes no result.
    store = VolumeStore(snakemake.config["store"])
    shards = snakemake.config["cohort"]["shards"]
    write_table(preprocess_shard(rows, store, settings, snakemake.threads, shards), snakemake.output[0])


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
