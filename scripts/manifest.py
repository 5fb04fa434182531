"""Match the tables with the volumes, split the patients, and deal the volumes out to shards."""

from pathlib import Path

from hounsfield.cohort.manifest import build_manifest, write_shards
from hounsfield.cohort.settings import CohortSettings, SplitSettings
from hounsfield.job import run_job
from hounsfield.tables import write_table


def main(snakemake):
    cohort = CohortSettings.from_config(snakemake.params.cohort)
    split = SplitSettings.from_config(snakemake.params.split)
    folder = Path(snakemake.output.manifest).parent
    # Undeclared, so that Snakemake keeps it: a second run reads only the files that are new or changed.
    manifest = build_manifest(cohort, split, snakemake.params.seed, cache_path=folder / "identities.tsv")
    write_shards(manifest, folder / "shards", cohort.shards)
    write_table(manifest.unmatched, snakemake.output.unmatched)
    write_table(manifest.metadata, snakemake.output.metadata)
    write_table(manifest.volumes, snakemake.output.manifest)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
