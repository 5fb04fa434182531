"""Find the new scans and deal them out to shards."""

from pathlib import Path

from hounsfield.inference.scans import find_scans, write_scan_shards
from hounsfield.job import run_job
from hounsfield.tables import write_table


def main(snakemake):
    output = snakemake.output
    # Undeclared, so that Snakemake keeps it: a second run reads only the files that are new or changed.
    cache = Path(output.refused).with_name("identities.tsv")
    scans, refused = find_scans([snakemake.params.folder], "auto", cache)
    write_scan_shards(scans, output.shards)
    write_table(refused, output.refused)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
