"""The pointing game, and that what it takes for the truth is where the files show the finding."""

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from hounsfield.explain.phantom_truth import CHANGED, PhantomTruth
from hounsfield.explain.pointing import SCANS, pointing_game
from hounsfield.phantoms.cohort import PhantomScan, paint_scan, plan_cohort
from hounsfield.phantoms.scanner import to_nifti
from hounsfield.volumes.read import read_volume
from hounsfield.volumes.resample import resample
from hounsfield.volumes.settings import PreprocessingSettings

SETTINGS = PreprocessingSettings.from_config({"spacing": [8, 8, 8], "shape": [40, 40, 40], "dtype": "int16"})
DEMO, SEED = {"patients": 60, "scans": 60}, 4


def as_read(scan, number, path):
    """The scan's file without its noise, read and resampled as the workflow does."""
    canvas, position, reconstruction = paint_scan(scan, number, SEED)
    nib.save(to_nifti(np.rint(canvas.hu).astype(np.int16), position, reconstruction), path)
    return resample(read_volume(path), SETTINGS).astype(float), position


def chosen():
    """Scans with each finding, in several orientations, some of them oblique."""
    plan = plan_cohort(**DEMO, seed=SEED)
    tilted = [scan for scan in plan if any(paint_scan(scan, 1, SEED)[1].tilt)][:2]
    return [*plan[:5], *tilted]


def test_the_truth_is_where_the_files_differ(tmp_path):
    truth = PhantomTruth(DEMO, SEED, SETTINGS)
    orientations, compared = set(), 0
    for scan in chosen():
        volume, position = as_read(scan, 1, tmp_path / "with.nii.gz")
        orientations.add((position.orientation, any(position.tilt)))
        for finding in [name for name, label in scan.labels.items() if label]:
            other = PhantomScan(scan.patient, scan.rank, scan.labels | {finding: 0}, scan.reconstructions)
            change = np.abs(volume - as_read(other, 1, tmp_path / "without.nii.gz")[0])
            expected = change >= CHANGED * change.max()
            mask = truth.mask(f"{scan.name}_1", finding)
            assert (mask & expected).sum() / (mask | expected).sum() > 0.9, (scan.name, finding)
            compared += 1
    assert compared > 8 and len(orientations) > 3


def test_there_is_no_truth_without_the_finding():
    truth = PhantomTruth(DEMO, SEED, SETTINGS)
    scan = next(scan for scan in plan_cohort(**DEMO, seed=SEED) if scan.labels["Lung nodule"] == 0)
    assert truth.mask(f"{scan.name}_1", "Lung nodule") is None
    assert truth.mask(f"{scan.name}_1", "another finding") is None
    assert truth.mask("a stranger", "Lung nodule") is None


@pytest.fixture
def block():
    """A mask of one voxel in a grid of 10 voxels of 10 mm."""
    mask = np.zeros((10, 10, 10), bool)
    mask[5, 5, 5] = True
    return mask


def hot(*place):
    heat = np.zeros((10, 10, 10))
    heat[place] = 1
    return heat


def test_hits_are_counted_within_reach_one_scan_a_patient(block):
    predictions = pd.DataFrame({"volume": ["a", "a2", "b", "c", "d", "e"], "patient": ["a", "a", *"bcde"]})
    predictions["label x"] = [1, 1, 1, 1, 0, 1]
    heats = {"a": hot(5, 5, 6), "b": hot(5, 5, 7), "c": np.zeros((10, 10, 10)), "e": hot(5, 5, 5)}
    masks = dict.fromkeys("abc", block) | {"e": None}
    table = pointing_game(
        predictions, ["x"], lambda volume, _: masks[volume], lambda volume, _: heats[volume], (10, 10, 10)
    )
    row = table.iloc[0]
    # 10 mm away is a hit, 20 mm is none; within 15 mm lie the voxel, its faces and its edges.
    assert (row["scans"], row["hits"]) == (3, 1)
    assert row["chance"] == pytest.approx(19 / 1000)


def test_few_scans_are_enough_and_none_is_undefined(block):
    predictions = pd.DataFrame({"volume": [str(n) for n in range(30)], "label x": 1.0, "label y": 0.0})
    predictions["patient"] = predictions["volume"]
    table = pointing_game(predictions, ["x", "y"], lambda *_: block, lambda *_: hot(5, 5, 5), (10, 10, 10))
    assert table["scans"].tolist() == [SCANS, 0] and table["hits"].tolist() == [SCANS, 0]
    assert np.isnan(table["chance"][1])
