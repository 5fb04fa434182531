"""Exports of a finished run: by the workflow, on request only, and by the command."""

import subprocess
import sys

import pytest

from hounsfield.tables import read_table

pytestmark = pytest.mark.workflow


def test_the_workflow_exports_on_request(copy):
    copy.config["exports"] = {"formats": ["onnx", "monai", "card"], "volumes": 3}
    assert copy.would_run("exports") == {"Export resnet, seed 0, for tiny", "Export vit, seed 0, for tiny"}
    assert not any("Export" in message for message in copy.would_run())
    folder = copy.results("exports/vit/seed0")
    copy.run(folder.relative_to(copy.folder))
    made = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {"agreement.tsv", "model.onnx", "model_card.md", "monai/docs/README.md", "monai/LICENSE"} <= made
    agreement = read_table(folder / "agreement.tsv", ["format"])
    assert list(agreement["format"]) == ["onnx", "monai"] and set(agreement["volumes"]) == {3}
    assert (agreement["largest_difference"] <= agreement["tolerance"]).all()
    card = (folder / "model_card.md").read_text()
    points = read_table(copy.results("metrics/vit/seed0/operating_points.tsv"), ["pathology"])
    assert "Missing" not in card
    for point in points.itertuples():
        assert f"| {point.pathology} | {point.scale:.4g} | {point.offset:.4g} | {point.threshold:.4g} |" in card


@pytest.mark.slow
def test_the_command_exports_a_model_of_the_run(finished, tmp_path):
    best = finished.results("models/resnet/seed0/best.pth")
    command = [sys.executable, "-m", "hounsfield", "export", "--model", best, "--output", tmp_path / "out"]
    command += ["--formats", "safetensors,card", "--store", "results/store", "--threads", "1"]
    done = subprocess.run(list(map(str, command)), cwd=finished.folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert read_table(tmp_path / "out/agreement.tsv", ["format"])["volumes"].tolist() == [4]
    card = (tmp_path / "out/model_card.md").read_text()
    missing = [line for line in card.splitlines() if "Missing" in line]
    assert len(missing) == 2 and all("settings" in line for line in missing)
