"""Draw a small picture of each stored volume of one shard."""

from pathlib import Path

from hounsfield.job import run_job
from hounsfield.overview.pictures import draw_shard
from hounsfield.tables import read_table, write_table
from hounsfield.volumes.remake import store_of_shard
from hounsfield.volumes.settings import PreprocessingSettings


def main(snakemake):
    output, params = snakemake.output, snakemake.params
    stored = read_table(snakemake.input[0], text=["volume", "key"])
    settings = PreprocessingSettings.from_config(params.preprocessing)
    store = store_of_shard(snakemake.config, snakemake.input[0])
    volumes, histogram = draw_shard(stored, store, settings, params.window, Path(output.pictures))
    write_table(volumes, output.volumes)
    write_table(histogram, output.histogram)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
