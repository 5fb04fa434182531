"""Match the tables with the volumes, split the patients, and deal the volumes out to shards."""

from dataclasses import replace
from pathlib import Path

from hounsfield.cohort.manifest import build_manifest, write_shards
from hounsfield.cohort.settings import CohortSettings, SplitSettings
from hounsfield.job import run_job
from hounsfield.tables import write_table


def main(snakemake):
    cohort = with_fetched_tables(CohortSettings.from_config(snakemake.params.cohort), snakemake.input)
    split = SplitSettings.from_config(snakemake.params.split)
    folder = Path(snakemake.output.manifest).parent
    # Undeclared, so that Snakemake keeps it: no patient moves to another split.
    manifest = build_manifest(cohort, split, snakemake.params.seed, folder / "splits.tsv")
    write_shards(manifest, folder / "shards", cohort.shards)
    write_table(manifest.unmatched, snakemake.output.unmatched)
    write_table(manifest.metadata, snakemake.output.metadata)
    write_table(manifest.volumes, snakemake.output.manifest)


def with_fetched_tables(cohort, inputs):
    """The settings with the files that Snakemake fetched in the place of addresses."""
    fetched = {name: tuple(inputs[name]) for name in ("labels", "metadata", "exclude")}
    return replace(cohort, **fetched, label_mapping=next(iter(inputs.label_mapping), None))


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
