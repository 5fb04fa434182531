"""A small cohort of chest-like volumes, as a user would bring it."""

import nibabel
import numpy as np
import pandas as pd
import pytest
import yaml

SPACING = (6.0, 5.0, 5.0)  # mm, z, y, x


def make_chest(body=(4, 20, 26), shape=(24, 48, 56), at=(6, 14, 12)):
    """HU (z, y, x): air, a body of `body` voxels that begins at `at`, lungs in it, and a thin table below it."""
    hu = np.full(shape, -1000, np.int16)
    hu[:, -3] = 300
    box = tuple(slice(start, start + n) for start, n in zip(at, body, strict=True))
    hu[box] = 40
    hu[at[0] : at[0] + body[0], at[1] + 6 : at[1] + 12, at[2] + 6 : at[2] + 12] = -850
    return hu + np.random.default_rng(0).integers(-9, 10, shape, dtype=np.int16)


def write_volume(hu, path, spacing=SPACING):
    z, y, x = spacing
    nibabel.save(nibabel.Nifti1Image(hu.T, np.diag([-x, -y, z, 1.0])), path)


@pytest.fixture(scope="session")
def chest():
    """A function that makes such a volume."""
    return make_chest


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder with 20 patients' volumes, a table of labels and a configuration without `preprocessing`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "volumes").mkdir()
    rows = []
    for number in range(20):
        name = f"train_{number}_a_1"
        write_volume(make_chest((20, 20 + number % 3, 26)), tmp_path / "volumes" / f"{name}.nii.gz")
        rows.append({"VolumeName": name, "nodule": number % 2, "effusion": number // 2 % 2})
    pd.DataFrame(rows).to_csv("labels.csv", index=False)
    config = {
        "name": "site",
        "cohort": {"volumes": "volumes", "labels": ["labels.csv"], "pathologies": ["nodule", "effusion"], "shards": 2},
        "split": {"fractions": {"train": 0.5, "val": 0.25, "test": 0.25}},
        "models": {
            "vit": {
                "architecture": "vit3d",
                "variant": "tiny",
                "options": {"num_layers": 1},
                "training": {"epochs": 7, "weight_decay": 0.1},
                "tune": {"space": {"options.dropout_rate": {"low": 0.0, "high": 0.3}}},
            }
        },
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(config))
    return tmp_path
