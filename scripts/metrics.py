"""Score one model's test predictions, with thresholds chosen on validation."""

from hounsfield.evaluation.score import operating_points, score_model
from hounsfield.evaluation.settings import EvaluationSettings
from hounsfield.job import run_job
from hounsfield.predictions import read_predictions
from hounsfield.tables import write_table


def main(snakemake):
    val, test = map(read_predictions, snakemake.input)
    settings = EvaluationSettings.from_config(snakemake.params.evaluation)
    per_pathology, overall = score_model(val, test, snakemake.params.pathologies, settings)
    write_table(per_pathology, snakemake.output.per_pathology)
    write_table(overall, snakemake.output.overall)
    points = operating_points(val, snakemake.params.pathologies, settings)
    write_table(points, snakemake.output.operating_points)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
