"""Features of networks that are left as they are."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from hounsfield.baselines.fitting import predict_splits
from hounsfield.baselines.probe import FrozenNetwork, extract_features, probe_candidates
from hounsfield.errors import ConfigError
from hounsfield.models.settings import ModelSettings
from hounsfield.training.data import VolumeBatches, to_hu, to_input
from hounsfield.training.trainer import train_model

BLOCKS = {
    "resnet3d": {"variant": "10", "options": {"widen_factor": 0.125}},
    "densenet3d": {"variant": "121", "options": {"init_features": 8, "growth_rate": 4, "block_config": [2, 2]}},
    "vit3d": {"variant": "tiny", "options": {"patch_size": 8, "num_layers": 2}},
    "slices2d": {"variant": "18"},
}


def features_of(network, job):
    return extract_features(network, job.dataset, job.store, job.training, job.preprocessing)


@pytest.mark.parametrize("architecture", BLOCKS)
def test_the_head_makes_the_logits_of_these_features(make_job, architecture):
    job = make_job()
    network = FrozenNetwork.untrained({"architecture": architecture} | BLOCKS[architecture], 1, (16, 16, 16), seed=3)
    features = features_of(network, job)
    assert features.shape[0] == len(job.dataset) and np.isfinite(features).all()
    if architecture == "slices2d":
        return  # its head pools the slices by attention; here they count alike
    head = [module for module in network.model.modules() if isinstance(module, torch.nn.Linear)][-1]
    (batch,) = VolumeBatches(job.dataset, [], job.store, len(job.dataset), sampling="none").epoch(0)
    with torch.inference_mode():
        logits = network.model(to_input(to_hu(batch.volumes, job.preprocessing), job.training.windows))
        torch.testing.assert_close(head(torch.from_numpy(features).float()), logits, rtol=1e-4, atol=1e-5)


def test_features_of_slices_are_their_mean(make_job):
    job = make_job()
    network = FrozenNetwork.untrained({"architecture": "slices2d", "variant": "18"}, 1, (16, 16, 16), seed=0)
    features = features_of(network, job)
    volumes = VolumeBatches(job.dataset.iloc[:1], [], job.store, 1, sampling="none").epoch(0)
    x = to_input(to_hu(next(volumes).volumes, job.preprocessing), job.training.windows)
    with torch.inference_mode():
        slabs = x[0, 0, :15].unflatten(0, (5, 3))
        expected = network.model.backbone(slabs).flatten(1).mean(dim=0)
    torch.testing.assert_close(torch.from_numpy(features[0]), expected.double(), rtol=1e-4, atol=1e-5)


def test_a_probe_of_a_trained_network_tells_what_it_learned(make_job):
    early = {"metric": "loss", "patience": 30}
    still = {"flip": 0, "translation": 0, "rotation": 0}
    job = make_job({"epochs": 25, "learning_rate": 0.001, "augmentation": still, "early_stopping": early})
    train_model(job)
    network = FrozenNetwork.trained(job.directory / "best.pth")
    assert network.settings.options == job.model.options
    features = features_of(network, job)
    dataset = job.dataset.reset_index(drop=True)
    table = predict_splits(probe_candidates(), features, dataset, ["bright"])["test"]
    assert roc_auc_score(table["label bright"], table["logit bright"]) > 0.9
    np.testing.assert_array_equal(features, features_of(FrozenNetwork.trained(job.directory / "best.pth"), job))


def test_starting_weights_are_taken_and_the_network_is_left_alone(make_job, tmp_path):
    job, block = make_job(), {"architecture": "resnet3d"} | BLOCKS["resnet3d"]
    source = FrozenNetwork.untrained(block, 1, (16, 16, 16), seed=1)
    torch.save(source.model.state_dict(), tmp_path / "weights.pth")
    network = FrozenNetwork.untrained(block | {"weights": str(tmp_path / "weights.pth")}, 1, (16, 16, 16), seed=2)
    np.testing.assert_array_equal(features_of(network, job), features_of(source, job))
    for name, tensor in network.model.state_dict().items():
        assert torch.equal(tensor, source.model.state_dict()[name]), name
    other = FrozenNetwork.untrained(block, 1, (16, 16, 16), seed=2)
    assert not np.array_equal(features_of(other, job), features_of(source, job))


def test_labels_are_not_read(make_job):
    job = make_job()
    network = FrozenNetwork.untrained({"architecture": "resnet3d"} | BLOCKS["resnet3d"], 1, (16, 16, 16), seed=0)
    unlabelled = job.dataset.drop(columns=["bright", "low"])
    features = extract_features(network, unlabelled, job.store, job.training, job.preprocessing)
    np.testing.assert_array_equal(features, features_of(network, job))


def test_a_network_without_stages_is_refused(make_job):
    settings = ModelSettings("monai_network", "SEResNet50")
    with pytest.raises(ConfigError, match="baselines: monai_network names no stages"):
        features_of(FrozenNetwork(torch.nn.Linear(2, 2), settings), make_job())
