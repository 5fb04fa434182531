"""The bundle: MONAI's own runner takes files of any orientation to the scores of the workflow."""

import json

import numpy as np
import pandas as pd
import pytest
import SimpleITK
import torch
from monai.bundle import ConfigParser, verify_net_in_out

from hounsfield.errors import ExportError
from hounsfield.exports import bundle
from hounsfield.exports.check import make_check
from hounsfield.inference.scans import find_scans
from hounsfield.tables import read_table
from hounsfield.volumes.store import VolumeStore


def test_monai_scores_files_as_the_workflow_does(prepare, scans, tmp_path):
    trained, _ = prepare("slices2d")
    image = SimpleITK.ReadImage(scans / "turned.nii.gz")
    SimpleITK.WriteImage(image[:, ::-1], tmp_path / "itk.nrrd")  # MONAI is given it as NIfTI
    rows, _ = find_scans([scans, tmp_path / "itk.nrrd"], "auto")
    check = make_check(trained, rows, VolumeStore(tmp_path / "others"), 1)
    scores = bundle.export(trained, tmp_path, check)
    assert scores.shape == (4, 3) and np.abs(scores - check.probabilities).max() < bundle.TOLERANCE
    # A turned or mirrored axis would have shown.
    hu = torch.from_numpy(check.stored[0]).float()[None, None]
    with torch.inference_mode():
        for axis in (2, 3, 4):
            assert np.abs(trained.network(hu.flip(axis)).numpy() - check.probabilities[0]).max() > bundle.TOLERANCE
    assert [path.name for path in tmp_path.glob(".scans-*")] == []


def test_monais_checks_accept_it(prepare, tmp_path):
    trained, _ = prepare()
    bundle.write_bundle(trained, tmp_path / "monai")
    configs = tmp_path / "monai/configs"
    verify_net_in_out(
        net_id="network_def",
        meta_file=str(configs / "metadata.json"),
        config_file=str(configs / "inference.json"),
        bundle_root=str(tmp_path / "monai"),
        device="cpu",
    )
    parser = ConfigParser(json.loads((configs / "inference.json").read_text()))
    parser.read_meta(configs / "metadata.json")
    parser.parse()
    assert parser["_meta_"]["network_data_format"]["outputs"]["pred"]["num_channels"] == 3
    points = read_table(configs / "operating_points.tsv", ["pathology"])
    pd.testing.assert_frame_equal(points, trained.points.reset_index(), check_dtype=False)


def test_what_monai_has_no_transform_for_is_refused(prepare, tmp_path):
    trained, check = prepare(preprocessing={"antialias": True})
    with pytest.raises(ExportError, match=r"no transform like preprocessing\.antialias"):
        bundle.export(trained, tmp_path, check)


@pytest.mark.slow
def test_a_failed_run_is_one_line(prepare, tmp_path):
    trained, _ = prepare()
    bundle.write_bundle(trained, tmp_path / "monai")
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans/page.nii.gz").write_bytes(b"<html>")
    with pytest.raises(ExportError, match=r"^monai: MONAI's runner failed: \S*(Error|Exception)\b[^\n]*$"):
        bundle.run_bundle(tmp_path / "monai", tmp_path / "scans", tmp_path / "scores.tsv")
    assert not (tmp_path / "scores.tsv").exists()
