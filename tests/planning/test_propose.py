"""The proposal as a whole, on machines that are not there."""

import copy

import numpy as np
import pytest
import torch

from hounsfield.errors import HounsfieldError
from hounsfield.planning.cost import Cost
from hounsfield.planning.facts import CohortFacts
from hounsfield.planning.machine import Machine
from hounsfield.planning.overlay import as_config
from hounsfield.planning.propose import propose
from hounsfield.volumes.volume import VolumeError

CPU = Machine(cores=8, memory=64e9, disk=1e12)
GPU = Machine(cores=16, memory=128e9, disk=1e12, gpus=1, gpu_name="H100", gpu_memory=80e9)
CONFIG = {
    "name": "chests",
    "split": {},
    "store": "store",
    "seeds": [0],
    "training": {},
    "models": {"resnet": {"architecture": "resnet3d", "variant": "18"}},
}


def facts(**changes):
    """A cohort of chest CT: 350 mm of body in scans of 1.5 x 0.75 x 0.75 mm."""
    known = {
        "volumes": {"train": 700, "val": 100, "test": 200},
        "positives": {"nodule": 120, "effusion": 60},
        "paths": ("absent.nii.gz",) * 1000,
        "spacings": np.full((24, 3), [1.5, 0.75, 0.75]),
        "extents": np.full((24, 3), [300.0, 380, 380]),
        "needed": np.full((24, 3), [300.0, 260, 350]),
    }
    return CohortFacts(**known | changes)


class Law:
    """A machine on which a volume takes time and memory in proportion to its voxels; it notes what is measured."""

    def __init__(self, seconds=1e-7, memory=400.0):
        self.seconds, self.memory, self.measured = seconds, memory, []

    def __call__(self, name, grid, batch, recompute):
        self.measured.append((name, grid, batch, recompute))
        memory = self.memory * (0.25 if recompute else 1)
        return Cost(self.seconds * (1.33 if recompute else 1) * grid.voxels, memory * grid.voxels, 1e8)


def proposed(machine=CPU, config=CONFIG, hours=1.0, law=None, **changes):
    proposal = propose(facts(**changes), machine, config, hours, law or Law())
    return proposal, as_config(proposal.choices)


def test_time_decides_the_voxels_and_is_kept():
    small, _ = proposed(hours=1)
    large, _ = proposed(hours=8)
    assert small.grid.voxels < large.grid.voxels
    for proposal, hours in ((small, 1), (large, 8)):
        assert 0.6 * hours < sum(proposal.training_hours.values()) <= hours


def test_each_fold_is_a_training_of_its_own():
    once, _ = proposed(hours=1e6)
    folds, _ = proposed(hours=1e6, config=CONFIG | {"split": {"folds": 5}})
    assert folds.training_hours["resnet"] == pytest.approx(5 * once.training_hours["resnet"])


def test_a_transformer_learns_for_longer_and_its_time_counts():
    vit = {"architecture": "vit3d", "variant": "tiny"}
    proposal, config = proposed(hours=1e6, config=CONFIG | {"models": CONFIG["models"] | {"vit": vit}})
    epochs, own = config["training"]["epochs"], config["models"]["vit"]["training"]
    assert (own["epochs"], own["warmup_epochs"]) == (2 * epochs, 2) and "epochs" not in config["models"]["resnet"][
        "training"
    ]
    assert proposal.training_hours["vit"] == pytest.approx(2 * proposal.training_hours["resnet"])


def test_voxels_are_never_finer_than_the_scans():
    proposal, config = proposed(hours=1e6, law=Law(memory=1e-3))
    assert config["preprocessing"]["spacing"] == [1.5, 0.75, 0.75]
    assert config["preprocessing"]["antialias"] is False
    assert "as fine as the scans" in proposal.choices["preprocessing", "spacing"].reason


def test_what_is_proposed_was_measured_at_its_batch():
    law = Law()
    proposal, config = proposed(law=law)
    assert ("resnet", proposal.grid, config["models"]["resnet"]["training"]["batch_size"], False) in law.measured
    assert len(law.measured) <= 6


def test_where_memory_is_short_activations_are_computed_again_before_voxels_are_given_up():
    proposal, config = proposed(GPU, hours=1e5, law=Law(memory=800.0))
    training = config["models"]["resnet"]["training"]
    assert training["gradient_checkpointing"] is True
    assert training["batch_size"] >= 2 and training["batch_size"] * training["accumulate"] == 16
    # Twice the memory of a volume, half the room: the batch is what gives.
    assert proposal.grid.voxels * 800 * 0.25 * training["batch_size"] < 80e9


def test_a_gpu_that_runs_out_of_memory_ends_in_a_coarser_grid():
    class Full(Law):
        def __call__(self, name, grid, batch, recompute):
            if grid.voxels > 2e6:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().__call__(name, grid, batch, recompute)

    proposal, _ = proposed(GPU, hours=1e5, law=Full())
    assert proposal.grid.voxels <= 2e6
    assert "memory" in proposal.choices["preprocessing", "spacing"].reason


def test_a_model_that_fits_nowhere_is_named():
    with pytest.raises(HounsfieldError, match=r"models.resnet: two volumes of .* do not fit into 8.0 GB"):
        proposed(law=Law(memory=1e6))


def test_epochs_are_given_up_last_and_it_is_said():
    proposal, config = proposed(hours=0.001)
    assert max(config["preprocessing"]["shape"]) == 64
    assert config["training"]["epochs"] == 5
    assert any("more --hours" in line for line in proposal.warnings)


def test_all_models_and_seeds_share_the_time():
    config = copy.deepcopy(CONFIG) | {"seeds": [0, 1]}
    config["models"]["other"] = {"architecture": "resnet3d", "variant": "10"}
    proposal, _ = proposed(config=config)
    assert sum(proposal.training_hours.values()) <= 1
    assert proposal.grid.voxels < proposed()[0].grid.voxels
    four = Machine(32, 256e9, 1e12, gpus=4, gpu_name="H100", gpu_memory=80e9)
    assert proposed(four, config)[0].grid.voxels > proposed(GPU, config)[0].grid.voxels


def test_what_a_model_says_of_itself_is_said_anew():
    config = copy.deepcopy(CONFIG)
    config["models"]["resnet"]["training"] = {"epochs": 3, "weight_decay": 0.1}
    _, overlay = proposed(config=config)
    assert overlay["models"]["resnet"]["training"]["epochs"] == overlay["training"]["epochs"]
    assert "weight_decay" not in overlay["models"]["resnet"]["training"]


def test_a_small_disk_makes_small_voxels_types():
    proposal, config = proposed(Machine(cores=8, memory=64e9, disk=1e8))
    assert (config["preprocessing"]["dtype"], config["preprocessing"]["window"]) == ("uint8", [-1000.0, 400.0])
    assert proposal.gigabytes == pytest.approx(1000 * proposal.grid.voxels * 0.5 / 1e9)


def test_rare_labels_refused_volumes_and_a_busy_machine_are_told():
    damaged = VolumeError("truncated", "the stream ends early", "a.nii.gz")
    busy = Machine(cores=8, memory=64e9, disk=1e12, busy=True)
    proposal, _ = proposed(busy, positives={"nodule": 3, "effusion": 50}, refused=(damaged,))
    text = "\n".join(proposal.warnings)
    assert "nodule: 3 positive" in text and "effusion" not in text
    assert "a.nii.gz: truncated" in text and "busy" in text
