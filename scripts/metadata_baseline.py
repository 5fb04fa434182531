"""Score validation and test by what the tables say, without a voxel."""

import pandas as pd

from hounsfield.baselines.fitting import predict_splits
from hounsfield.baselines.metadata import metadata_candidates, metadata_features
from hounsfield.baselines.settings import MetadataSettings
from hounsfield.job import run_job
from hounsfield.settings import settings_from
from hounsfield.tables import read_dataset, read_table, write_table


def main(snakemake):
    inputs, params = snakemake.input, snakemake.params
    dataset = read_dataset(inputs.dataset)
    stored = pd.concat([read_table(path, text=["volume"]) for path in inputs.stored], ignore_index=True)
    metadata = read_table(inputs.metadata, text=["volume"])
    settings = settings_from(MetadataSettings, params.baseline, "baselines")
    features = metadata_features(dataset, stored, metadata, settings)
    candidates = metadata_candidates(int(snakemake.wildcards.seed))
    predictions = predict_splits(candidates, features, dataset, params.pathologies)
    write_table(predictions["val"], snakemake.output.val)
    write_table(predictions["test"], snakemake.output.test)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
