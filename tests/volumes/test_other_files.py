"""Numpy archives, NRRD and MetaImage, and the first thing that a user tries."""

import json
import subprocess
import sys

import numpy as np
import pytest
import SimpleITK

from hounsfield.cli.inspect_command import main
from hounsfield.volumes import VolumeError, read_volume


def test_a_numpy_archive_runs_to_inferior_posterior_and_left(tmp_path, chest):
    np.savez_compressed(tmp_path / "trn1.npz", ct=chest[::-1])
    volume = read_volume(tmp_path / "trn1.npz", spacing=(0.8, 0.8, 0.8))
    np.testing.assert_array_equal(volume.hu, chest)
    with pytest.raises(VolumeError) as error:
        read_volume(tmp_path / "trn1.npz")
    assert error.value.reason == "no_geometry"


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_nrrd_and_metaimage_keep_geometry(tmp_path, chest, suffix):
    image = SimpleITK.GetImageFromArray(chest[::-1, :, ::-1])
    image.SetSpacing((0.7, 0.8, 3.0))
    image.SetDirection((-1, 0, 0, 0, 1, 0, 0, 0, -1))
    SimpleITK.WriteImage(image, str(tmp_path / f"scan{suffix}"))
    volume = read_volume(tmp_path / f"scan{suffix}")
    np.testing.assert_array_equal(volume.hu, chest)
    np.testing.assert_allclose(volume.spacing, (3.0, 0.8, 0.7))


@pytest.mark.parametrize("suffix", [".nrrd", ".nhdr", ".mha", ".mhd"])
def test_compressed_voxels_are_compared_with_their_checksum(tmp_path, chest, suffix):
    path = tmp_path / f"scan{suffix}"
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(chest), str(path), useCompression=True)
    np.testing.assert_array_equal(read_volume(path, spacing=(1, 1, 1)).hu, chest)
    voxels = next((file for file in tmp_path.iterdir() if file.suffix in (".gz", ".zraw")), path)
    content = bytearray(voxels.read_bytes())
    content[-6] ^= 1  # of the checksum: gzip's 4 bytes are before its last 4, zlib's are the last
    content[-2] ^= 1
    voxels.write_bytes(content)
    with pytest.raises(VolumeError) as error:
        read_volume(path, spacing=(1, 1, 1))
    assert error.value.reason in ("bad_checksum", "damaged")
    voxels.write_bytes(content[: len(content) // 2])
    with pytest.raises(VolumeError) as error:
        read_volume(path, spacing=(1, 1, 1))
    assert error.value.reason == "truncated"


def test_a_cut_archive_is_refused(tmp_path, chest):
    np.savez_compressed(tmp_path / "trn1.npz", ct=chest)
    content = (tmp_path / "trn1.npz").read_bytes()
    (tmp_path / "trn1.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(VolumeError) as error:
        read_volume(tmp_path / "trn1.npz", spacing=(1, 1, 1))
    assert error.value.reason == "truncated"


def test_inspect_tells_what_is_usable_and_what_is_not(tmp_path, chest, capsys):
    image = SimpleITK.GetImageFromArray(chest)
    SimpleITK.WriteImage(image, str(tmp_path / "scan.mha"))
    (tmp_path / "page.nii.gz").write_bytes(b"<html>")
    picture = tmp_path / "planes.png"
    paths = [str(tmp_path / "page.nii.gz"), str(tmp_path / "scan.mha")]
    assert main([*paths, "--json", "--png", str(picture)]) == 1
    refused, usable = map(json.loads, capsys.readouterr().out.splitlines())
    assert refused["reason"] == "not_an_image"
    assert usable["verdict"] == "usable" and usable["shape_zyx"] == list(chest.shape)
    assert usable["orientation"] == "LPS"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert main([paths[1]]) == 0
    assert "spacing_zyx_mm" in capsys.readouterr().out


def test_inspect_runs_as_a_module(tmp_path):
    command = [sys.executable, "-m", "hounsfield.cli.inspect_command", str(tmp_path / "absent.nii.gz")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and "missing" in done.stdout
