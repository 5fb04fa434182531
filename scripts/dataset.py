"""Gather the shards, check the splits, and write the dataset."""

import pandas as pd

from hounsfield.cohort.checks import check_unseen
from hounsfield.cohort.dataset import build_dataset
from hounsfield.cohort.settings import CohortSettings, SplitSettings
from hounsfield.job import run_job
from hounsfield.tables import read_table, write_table


def main(snakemake):
    manifest = read_table(snakemake.input.manifest, text=["volume", "scan", "patient", "split"])
    unmatched = read_table(snakemake.input.unmatched, text=["volume", "reason", "detail"])
    stored = read_shards(snakemake.input.stored)
    if snakemake.input.internal:
        dataset, *shards = snakemake.input.internal
        check_unseen(stored, read_table(dataset, text=["volume", "split"]), read_shards(shards))
    settings = CohortSettings.from_config(snakemake.params.cohort)
    required = SplitSettings.from_config(snakemake.params.split).require_positives
    fold = snakemake.params.fold
    dataset, excluded, summary = build_dataset(manifest, stored, unmatched, settings, required, fold)
    write_table(excluded, snakemake.output.excluded)
    write_table(summary, snakemake.output.summary)
    write_table(dataset, snakemake.output.dataset)


def read_shards(paths):
    """The stored volumes of all shards."""
    names = ["volume", "key", "digest", "reason", "detail"]
    return pd.concat([read_table(path, text=names) for path in paths], ignore_index=True)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
