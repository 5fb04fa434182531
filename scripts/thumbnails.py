"""Draw a small picture of each stored volume of one shard."""

from pathlib import Path

from hounsfield.job import run_job
from hounsfield.overview.pictures import draw_shard
from hounsfield.tables import read_table, write_table
from hounsfield.volumes.settings import PreprocessingSettings
from hounsfield.volumes.store import VolumeStore


def main(snakemake):
    output, params = snakemake.output, snakemake.params
    stored = read_table(snakemake.input[0], text=["volume", "key"])
    settings = PreprocessingSettings.from_config(params.preprocessing)
    store = VolumeStore(snakemake.config["store"])
    volumes, histogram = draw_shard(stored, store, settings, params.window, Path(output.pictures))
    write_table(volumes, output.volumes)
    write_table(histogram, output.histogram)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
