"""The rules, one by one."""

import pytest

from hounsfield.planning import rules
from hounsfield.planning.cost import Cost
from hounsfield.planning.grids import Grid
from hounsfield.planning.machine import Machine

CPU = Machine(cores=8, memory=64e9, disk=100e9)
GPUS = Machine(cores=32, memory=256e9, disk=1e12, gpus=4, gpu_name="H100", gpu_memory=80e9)
RESNET = {"architecture": "resnet3d", "variant": "18"}


@pytest.mark.parametrize("n_train, epochs", [(20, 60), (250, 60), (500, 30), (1000, 15), (50_000, 10)])
def test_epochs_fall_with_the_cohort_between_bounds(n_train, epochs):
    assert rules.epochs(n_train).value == epochs


@pytest.mark.parametrize("epochs, warmup, patience", [(1, 0.5, 10), (10, 1, 10), (30, 2, 15), (60, 3, 30)])
def test_warmup_and_patience_follow_the_epochs(epochs, warmup, patience):
    assert rules.warmup_epochs(epochs).value == warmup
    assert rules.patience(epochs).value == patience


@pytest.mark.parametrize(
    "n_train, processes, batch", [(30, 1, 4), (110, 1, 4), (474, 1, 16), (50_000, 1, 32), (50, 8, 16)]
)
def test_a_step_takes_more_volumes_from_a_larger_cohort(n_train, processes, batch):
    assert rules.effective_batch(n_train, processes).value == batch


def test_the_largest_batch_that_fits_is_taken():
    cost = Cost(seconds=1, bytes=2e9, fixed=1e9)
    assert rules.batch_that_fits(cost, 40e9, 16) == 16
    assert rules.batch_that_fits(cost, 32e9, 16) == 8
    assert rules.batch_that_fits(cost, 4e9, 16) == 0
    assert rules.batch_that_fits(cost, 10e9, 16, processes=4) == 16  # four volumes each
    assert rules.accumulate(8, 32).value == 4


def test_batches_say_whether_memory_bounded_them():
    cost = Cost(seconds=1, bytes=2e9, fixed=1e9)
    assert "all of the step" in rules.batch_size(16, 16, cost, 40e9, "H100").reason
    assert rules.batch_size(8, 16, cost, 32e9, "H100").reason.startswith("what fits: 2 GB a volume")


def test_the_learning_rate_follows_batch_width_and_weights():
    assert rules.learning_rate(16, RESNET).value == 0.001
    assert rules.learning_rate(4, RESNET).value == 0.0005
    assert rules.learning_rate(16, RESNET | {"weights": "medicalnet.pth"}).value == 0.0003
    assert rules.learning_rate(16, {"architecture": "vit3d", "variant": "base"}).value == 0.00025
    assert (
        rules.learning_rate(16, {"architecture": "vit3d", "variant": "base", "options": {"hidden_size": 192}}).value
        == 0.001
    )


def test_hu_stay_whole_unless_the_disk_is_too_small():
    windows = [[-1000, 400], [100, 900]]
    dtype, window = rules.stored_type(70e9, 100e9, windows)
    assert (dtype.value, window) == ("int16", None)
    dtype, window = rules.stored_type(90e9, 100e9, windows)
    assert (dtype.value, window.value) == ("uint8", [-1000, 900])
    assert "7.5 HU" in window.reason


def test_the_cache_holds_the_training_split_or_what_a_job_can_spare():
    assert rules.cache_gb(1e9, CPU, 1).value == 1.5
    assert rules.cache_gb(1e6, CPU, 1).value == 0.5
    assert rules.cache_gb(100e9, CPU, 1).value == 6
    assert rules.cache_gb(100e9, Machine(8, 8e9, 1e12), 1).value == 3


def test_memory_is_of_the_gpu_or_of_the_job():
    assert rules.memory_room(GPUS, 4) == pytest.approx(72e9)
    assert rules.memory_room(CPU, 1) == pytest.approx(8e9)
    assert rules.memory_room(Machine(8, 8e9, 1e12), 1) == pytest.approx(4e9)


def test_cores_are_shared_by_the_trainings_at_a_time():
    assert rules.threads(GPUS, 4).value == 8
    assert rules.threads(CPU, 1).value == 8
    assert rules.threads(Machine(2, 1e9, 1e9), 4).value == 1
    assert "H100" in rules.amp(GPUS).reason and "no GPU" in rules.amp(CPU).reason


def test_averaging_comes_with_coarser_voxels():
    assert rules.antialias(Grid((3, 1.5, 1.5), (64, 64, 64)), (3, 0.75, 0.75)).value is True
    assert rules.antialias(Grid((3, 1, 1), (64, 64, 64)), (3, 0.75, 0.75)).value is False
