"""Write down what the search for better settings of one model found."""

from pathlib import Path

from hounsfield.job import run_job
from hounsfield.tuning.page import write_outcome
from hounsfield.tuning.search import Search, search_spec


def main(snakemake):
    name, model = snakemake.config["name"], snakemake.wildcards.model
    spec = search_spec(snakemake.params.search, snakemake.config, model, Path(snakemake.output.page).parent)
    search = Search.from_spec(spec | {"dataset": snakemake.input.dataset, "threads": snakemake.threads})
    write_outcome(search, name, model, *map(Path, snakemake.output))


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
