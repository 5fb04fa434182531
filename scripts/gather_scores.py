"""One table of the scores of all shards of new scans."""

from hounsfield.inference.scans import gather_findings
from hounsfield.job import run_job
from hounsfield.tables import read_table, write_table


def main(snakemake):
    tables = [read_table(path, text=["volume", "pathology"]) for path in snakemake.input]
    write_table(gather_findings(tables), snakemake.output[0])


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
