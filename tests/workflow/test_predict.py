"""New scans get the very scores that the workflow gives them."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from scipy.special import expit

from hounsfield.tables import read_table
from hounsfield.training.checkpoints import load_checkpoint, save_checkpoint

pytestmark = pytest.mark.workflow


def predict(model, scans, output, *more):
    models = model if isinstance(model, list) else [model]
    command = [sys.executable, "-m", "hounsfield", "predict", "--model", *models, "--input", *scans, "--output", output]
    return subprocess.run([*map(str, command), "--threads", "1", *more], capture_output=True, text=True)


@pytest.fixture
def scans(finished, tmp_path):
    """A folder with the validation split's files."""
    manifest = read_table(finished.results("cohort/manifest.tsv"), ["volume", "path", "split"])
    folder = tmp_path / "scans"
    folder.mkdir()
    for path in manifest.loc[manifest["split"] == "val", "path"]:
        shutil.copy(finished.folder / path, folder)
    return folder


@pytest.mark.parametrize("model", [pytest.param("resnet", marks=pytest.mark.slow), "vit"])
def test_scores_are_those_of_validation_to_the_last_bit(finished, scans, tmp_path, model):
    best = finished.results(f"models/{model}/seed0/best.pth")
    done = predict(best, [scans], tmp_path / "scores.tsv")
    assert done.returncode == 0, done.stderr
    scores = read_table(tmp_path / "scores.tsv", ["volume", "pathology"])
    validation = read_table(finished.results(f"predictions/{model}/seed0/val.tsv"), ["volume"]).set_index("volume")
    points = read_table(finished.results(f"metrics/{model}/seed0/operating_points.tsv"), ["pathology"])
    assert len(scores) == len(validation) * len(points)
    for point in points.itertuples():
        rows = scores[scores["pathology"] == point.pathology].set_index("volume")
        logits = validation.loc[rows.index, f"logit {point.pathology}"].to_numpy(np.float64)
        np.testing.assert_array_equal(rows["probability"], expit(point.scale * logits + point.offset))
        np.testing.assert_array_equal(rows["finding"], rows["probability"] >= point.threshold)
    assert read_table(tmp_path / "scores.refused.tsv", ["volume"]).empty
    assert not list(tmp_path.glob(".volumes-*"))


def test_bad_files_are_named_and_the_rest_goes_on(finished, scans, tmp_path):
    (scans / "page.nii.gz").write_bytes(b"<html>")
    (scans / "<script>.nii.gz").write_bytes(b"")
    best = finished.results("models/vit/seed0/best.pth")
    done = predict(
        best, [scans, tmp_path / "absent.nii.gz"], tmp_path / "scores.tsv", "--store", str(tmp_path / "kept")
    )
    assert done.returncode == 1 and "3 refused" in done.stderr
    refused = read_table(tmp_path / "scores.refused.tsv", ["volume", "path", "reason"]).set_index("volume")
    assert refused["reason"].to_dict() == {"page": "not_an_image", "<script>": "empty", "absent": "missing"}
    assert read_table(tmp_path / "scores.tsv", ["volume"])["volume"].nunique() == len(list(scans.iterdir())) - 2
    assert list((tmp_path / "kept").glob("??/*.ct"))


def test_a_model_that_was_moved_calls_no_findings_unless_told_how(finished, scans, tmp_path):
    moved = tmp_path / "moved.pth"
    save_checkpoint(load_checkpoint(finished.results("models/vit/seed0/best.pth")), moved)
    done = predict(moved, [scans], tmp_path / "scores.tsv")
    assert done.returncode == 0 and "no finding is called" in done.stderr
    assert read_table(tmp_path / "scores.tsv", ["volume"])["finding"].isna().all()
    points = finished.results("metrics/vit/seed0/operating_points.tsv")
    predict(moved, [scans], tmp_path / "scores.tsv", "--operating-points", str(points))
    assert read_table(tmp_path / "scores.tsv", ["volume"])["finding"].isin([0, 1]).all()


def test_what_cannot_be_used_is_one_line(finished, tmp_path):
    best = finished.results("models/vit/seed0/best.pth")
    (tmp_path / "empty").mkdir()
    (tmp_path / "model.pth").write_text(json.dumps({}))
    for model, scans, told in (
        (best, tmp_path / "empty", "no scan in it"),
        (tmp_path / "model.pth", tmp_path, "cannot be read as a checkpoint"),
    ):
        done = predict(model, [scans], tmp_path / "scores.tsv")
        assert done.returncode == 2 and told in done.stderr and "Traceback" not in done.stderr
        assert not (tmp_path / "scores.tsv").exists()


@pytest.mark.slow
def test_an_ensemble_is_the_mean_at_its_own_thresholds_and_shows_what_it_calls(finished, scans, tmp_path):
    models = [finished.results(f"models/{model}/seed0/best.pth") for model in ("resnet", "vit")]
    done = predict(models, [scans], tmp_path / "scores.tsv")
    assert done.returncode == 0 and "no finding is called" in done.stderr
    assert read_table(tmp_path / "scores.tsv", ["volume"])["finding"].isna().all()
    points = finished.results("comparison/operating_points/all-models.tsv")
    more = ("--operating-points", str(points), "--explain", str(tmp_path / "seen"))
    done = predict(models, [scans], tmp_path / "scores.tsv", *more)
    assert done.returncode == 0 and "seconds a scan:" in done.stderr
    scores = read_table(tmp_path / "scores.tsv", ["volume", "pathology"])
    both = [
        read_table(finished.results(f"predictions/{model}/seed0/val.tsv"), ["volume"]).set_index("volume")
        for model in ("resnet", "vit")
    ]
    for row in scores.itertuples():
        each = [expit(table.loc[row.volume, f"logit {row.pathology}"]) for table in both]
        assert row.probability == pytest.approx(np.mean(each), abs=1e-12)
    thresholds = read_table(points, ["pathology"]).set_index("pathology")["threshold"]
    np.testing.assert_array_equal(scores["threshold"], thresholds[scores["pathology"]])
    np.testing.assert_array_equal(scores["finding"], scores["probability"] >= scores["threshold"])
    seen = read_table(tmp_path / "seen/index.tsv", ["volume", "pathology", "picture"])
    called = scores[scores["finding"] == 1]
    assert len(called) > 0
    pairs = [set(zip(table["volume"], table["pathology"], strict=True)) for table in (seen, called)]
    assert pairs[0] == pairs[1] and len(seen) == len(called)
    assert {path.name for path in (tmp_path / "seen").glob("*.png")} == set(seen["picture"])
