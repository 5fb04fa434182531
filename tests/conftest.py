"""What several tests build on: a small cohort in a store, and a job that trains on it."""

import numpy as np
import pandas as pd
import pytest

from hounsfield.training.job import TrainingJob
from hounsfield.training.settings import TrainingSettings
from hounsfield.volumes.settings import PreprocessingSettings
from hounsfield.volumes.store import VolumeStore

PREPROCESSING = PreprocessingSettings(spacing=(5.0, 5.0, 5.0), shape=(16, 16, 16))


# Whole runs take minutes: they start first, so that no process is left alone with one at the end.
LONGEST = ("test_slurm", "test_killed_everywhere", "test_real_cohort", "test_side_by_side", "tests/workflow/")


def pytest_collection_modifyitems(items):
    """The longest tests first, else as they were found."""
    items.sort(
        key=lambda item: next((n for n, name in enumerate(LONGEST) if name in item.path.as_posix()), len(LONGEST))
    )


def pytest_collection_finish(session):
    """Stop if tests that need a machine to themselves would run side by side."""
    if session.config.getoption("loadgroup", False):
        for item in session.items:
            if item.get_closest_marker("xdist_group") and "@" not in item.nodeid:
                raise pytest.UsageError("pytest-xdist does not group tests: install the pins of requirements-dev.txt")


@pytest.fixture(scope="session")
def small_cohort(tmp_path_factory):
    """(dataset, store): 28 volumes of 16^3 voxels; `bright` has a bright block, `low` a dark one, some unknown."""
    store = VolumeStore(tmp_path_factory.mktemp("store"))
    random = np.random.default_rng(0)
    rows = []
    for index in range(28):
        split = "train" if index < 14 else "val" if index < 21 else "test"
        labels = {"bright": float(index % 2), "low": float(index // 2 % 2)}
        voxels = random.normal(-600, 30, (16, 16, 16)).astype(np.int16)
        voxels[3:8, 3:8, 3:8] += np.int16(300 * labels["bright"])
        voxels[9:14, 9:14, 9:14] -= np.int16(300 * labels["low"])
        key = store.key(f"volume {index}", {}, PREPROCESSING.canonical())
        store.write(key, voxels)
        if index % 9 == 4:
            labels["low"] = np.nan
        name = f"train_{index}_a_1"
        row = {"volume": name, "scan": f"train_{index}_a", "patient": f"train_{index}", "split": split, "key": key}
        rows.append(row | labels)
    return pd.DataFrame(rows), store


@pytest.fixture
def make_job(small_cohort, tmp_path):
    """A function that makes a job from changes of the training block and, by keyword, of the job."""

    def make(training=None, directory="run", **changes):
        dataset, store = small_cohort
        block = {"epochs": 2, "batch_size": 3, "learning_rate": 0.003, "amp": "off"} | (training or {})
        settings = {
            "directory": tmp_path / directory,
            "dataset": dataset,
            "pathologies": ("bright", "low"),
            "store": store,
            "preprocessing": PREPROCESSING,
            "training": TrainingSettings.from_config(block),
            "block": {"architecture": "vit3d", "variant": "tiny", "options": {"patch_size": 8, "num_layers": 2}},
        }
        return TrainingJob(**(settings | changes))

    return make
