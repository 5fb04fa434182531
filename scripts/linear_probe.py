"""Score validation and test by logistic regression on a network's features."""

from hounsfield.baselines.fitting import predict_splits
from hounsfield.baselines.probe import FrozenNetwork, extract_features, probe_candidates
from hounsfield.devices import lease_devices
from hounsfield.job import run_job
from hounsfield.tables import read_dataset, write_table
from hounsfield.training.settings import TrainingSettings
from hounsfield.volumes.remake import store_of_run
from hounsfield.volumes.settings import PreprocessingSettings


def main(snakemake):
    params, best = snakemake.params, snakemake.input.best
    dataset = read_dataset(snakemake.input.dataset)
    training = TrainingSettings.from_config(params.training)
    preprocessing = PreprocessingSettings.from_config(params.preprocessing)
    started = params.network, len(training.windows), preprocessing.shape, int(snakemake.wildcards.seed)
    with lease_devices(snakemake.resources.gpu):
        network = FrozenNetwork.trained(best[0]) if best else FrozenNetwork.untrained(*started)
        store = store_of_run(snakemake.config, snakemake.input.dataset)
        features = extract_features(network, dataset, store, training, preprocessing, snakemake.threads)
    predictions = predict_splits(probe_candidates(), features, dataset, params.pathologies)
    write_table(predictions["val"], snakemake.output.val)
    write_table(predictions["test"], snakemake.output.test)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
