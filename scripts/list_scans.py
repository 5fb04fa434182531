"""Find the new scans and deal them out to shards."""

from hounsfield.inference.scans import find_scans, write_scan_shards
from hounsfield.job import run_job
from hounsfield.tables import write_table


def main(snakemake):
    output = snakemake.output
    scans, refused = find_scans([snakemake.params.folder], "auto")
    write_scan_shards(scans, output.shards)
    write_table(refused, output.refused)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
