"""Write the page of the cohort."""

from pathlib import Path

import pandas as pd

from hounsfield.job import run_job
from hounsfield.overview.page import write_page
from hounsfield.tables import read_table


def main(snakemake):
    inputs, params = snakemake.input, snakemake.params
    shards = [Path(path).stem for path in inputs.volumes]
    pictures = [read_table(path, ["volume", "key"]) for path in inputs.volumes]
    write_page(
        read_table(inputs.dataset, ["volume", "scan", "patient", "split", "key"]),
        pd.concat([read_table(path, ["volume", "key", "digest", "hu_source"]) for path in inputs.stored]),
        pd.concat([table.assign(shard=shard) for shard, table in zip(shards, pictures, strict=True)]),
        pd.concat(map(read_table, inputs.histograms)),
        read_table(inputs.excluded, ["volume", "reason", "detail"]),
        params.pathologies,
        params.config,
        Path(snakemake.output[0]),
    )


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
