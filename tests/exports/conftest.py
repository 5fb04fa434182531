"""Untrained networks and scans in every corner of which something else stands, so that a turned axis shows."""

import nibabel
import numpy as np
import pandas as pd
import pytest
import torch

from hounsfield.exports.check import make_check
from hounsfield.exports.trained import load_trained
from hounsfield.inference.scans import find_scans
from hounsfield.models.create import create_model
from hounsfield.models.settings import ModelSettings
from hounsfield.training.checkpoints import save_checkpoint
from hounsfield.volumes.settings import PreprocessingSettings
from hounsfield.volumes.store import VolumeStore

SHAPE = (24, 20, 16)
PATHOLOGIES = ["Lung nodule", "$import os | <b>@#x</b>", "%Emphysema"]
SMALL = {
    "resnet3d": ("10", {"widen_factor": 0.25}),
    "densenet3d": ("121", {"init_features": 8, "growth_rate": 4, "block_config": [2, 2]}),
    "vit3d": ("tiny", {"num_layers": 2, "patch_size": 4}),
    "slices2d": ("18", {"slab": 4}),
    "monai_network": ("SEResNet50", {"layers": [1, 1, 1, 1]}),
}


def make_points():
    """Steep, so that probabilities tell much of the logits, and one threshold that is not known."""
    index = pd.Index(PATHOLOGIES, name="pathology")
    columns = {"scale": [12.0, 6.0, 15.0], "offset": [0.5, -0.25, 0.0], "threshold": [0.5, np.nan, 0.25]}
    return pd.DataFrame(columns, index=index)


def save_network(path, architecture="vit3d", preprocessing=None, flip=False):
    """A checkpoint as training leaves it, of random weights; batch norms have seen other statistics than 0 and 1."""
    torch.manual_seed(3)
    variant, options = SMALL[architecture]
    settings = ModelSettings(architecture, variant, options, 2, SHAPE)
    model = create_model(settings, len(PATHOLOGIES))
    model(torch.randn(4, 2, *SHAPE))
    block = PreprocessingSettings.from_config({"spacing": [4, 3.5, 3], "shape": SHAPE} | (preprocessing or {}))
    content = {
        "model": settings.plain(),
        "pathologies": PATHOLOGIES,
        "preprocessing": block.canonical(),
        "inference": {"test_time_flip": flip},
        "windows": [[-1000.0, 400.0], [100.0, 900.0]],
        "weights": model.state_dict(),
        "epoch": 6,
        "metrics": {"val_loss": 0.5, "val_roc_auc_macro": float("nan")},
    }
    save_checkpoint(content, path)
    return path


@pytest.fixture(scope="session")
def small_networks():
    """Variant and options of a small network of each architecture."""
    return SMALL


@pytest.fixture(scope="session")
def scans(tmp_path_factory):
    """A folder of three NIfTI files in other orientations, spacings and sizes, one of them oblique."""
    folder = tmp_path_factory.mktemp("scans")
    random = np.random.default_rng(5)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.2), -np.sin(0.2)], [np.sin(0.2), np.cos(0.2)]]
    affines = {
        "rai": np.diag([2.0, -2.5, 3.0, 1.0]),
        "turned": np.array([[0, 0, 3.1, 5], [-1.9, 0, 0, 7], [0, 2.2, 0, -9], [0, 0, 0, 1.0]]),
        "oblique": turn @ np.diag([-2.1, -2.0, 4.0, 1.0]),
    }
    for name, affine in affines.items():
        hu = random.normal(-850, 60, random.integers(26, 40, 3)).astype(np.int16)
        hu[2:14, 3:12, 4:20] = 60
        hu[-9:, :8, -12:] = 900
        hu[5:9, -12:-3, 8:15] = random.integers(-400, 700, (4, 9, 7))
        nibabel.save(nibabel.Nifti1Image(hu, affine), folder / f"{name}.nii.gz")
    return folder


@pytest.fixture
def prepare(scans, tmp_path):
    """A function: a network of an architecture as it leaves, and the check on the scans."""

    def make(architecture="vit3d", **changes):
        trained = load_trained(save_network(tmp_path / "best.pth", architecture, **changes), make_points())
        rows, _ = find_scans([scans], "auto")
        return trained, make_check(trained, rows, VolumeStore(tmp_path / "store"), 1)

    return make
