"""One table of the new scans that could not be used."""

import pandas as pd

from hounsfield.inference.scans import REFUSED, refused_scans
from hounsfield.job import run_job
from hounsfield.tables import read_table, write_table


def main(snakemake):
    inputs = snakemake.input
    parts = [read_table(inputs.listed, text=REFUSED)]
    for shard, stored in zip(inputs.shards, inputs.stored, strict=True):
        stored = read_table(stored, text=["volume", "reason", "detail"])
        parts.append(refused_scans(read_table(shard, text=["volume", "path"]), stored))
    write_table(pd.concat(parts).sort_values("volume", ignore_index=True), snakemake.output[0])


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
