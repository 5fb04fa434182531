"""Export one trained network for other tools."""

from pathlib import Path

from hounsfield.exports.check import make_check, validation_rows
from hounsfield.exports.facts import read_facts
from hounsfield.exports.run import export_model
from hounsfield.exports.settings import ExportSettings
from hounsfield.exports.trained import load_trained
from hounsfield.job import run_job
from hounsfield.layout import trained_of
from hounsfield.tables import read_table
from hounsfield.volumes.store import VolumeStore


def main(snakemake):
    inputs, params, best = snakemake.input, snakemake.params, Path(snakemake.input.best)
    settings = ExportSettings.from_config(params.exports)
    trained = load_trained(best, read_table(inputs.operating_points, ["pathology"]).set_index("pathology"))
    rows = validation_rows(trained_of(best).run, settings.volumes)
    check = make_check(trained, rows, VolumeStore(snakemake.config["store"]), snakemake.threads)
    facts = read_facts(best, params.training, params.evaluation)
    export_model(trained, check, facts, settings.formats, Path(snakemake.output[0]))


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
