"""A search on the small cohort, of a small transformer."""

import pytest

from hounsfield.tables import write_table
from hounsfield.tuning.search import Search

SPACE = {
    "training.learning_rate": {"low": 0.0001, "high": 0.01, "log": True},
    "training.loss.kind": {"choices": ["bce", "focal"]},
    "training.augmentation.rotation": None,
    "training.augmentation.translation": None,
    "training.augmentation.noise": None,
    "training.augmentation.scale": None,
    "training.weight_decay": None,
}


@pytest.fixture
def make_search(small_cohort, tmp_path):
    """A function that makes a search from changes of the tune block and, by keyword, of the spec."""

    def make(tune=None, **changes):
        dataset, store = small_cohort
        write_table(changes.pop("dataset", dataset), tmp_path / "dataset.tsv")
        spec = {
            "directory": tmp_path / "studies",
            "dataset": tmp_path / "dataset.tsv",
            "pathologies": ["bright", "low"],
            "store": store.root,
            "preprocessing": {"spacing": [5.0, 5.0, 5.0], "shape": [16, 16, 16]},
            "training": {"epochs": 4, "batch_size": 7, "amp": "off"},
            "block": {
                "architecture": "vit3d",
                "variant": "tiny",
                "options": {"patch_size": 8, "num_layers": 1, "hidden_size": 48, "mlp_dim": 48},
                "tune": {"space": SPACE},
            },
            "tune": {"trials": 4, "rungs": [1, 3], "reduction": 2} | (tune or {}),
            "code": "",
            "threads": 1,
            "tracking": {"mode": "disabled"},
        }
        return Search.from_spec(spec | changes)

    return make
