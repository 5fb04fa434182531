"""Files that were made to hurt: every one is a volume or a VolumeError, in bounded memory and time."""

import gzip
import json
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import DeflatedExplicitVRLittleEndian

from hounsfield.volumes import limits
from hounsfield.volumes.read import read_volume
from hounsfield.volumes.volume import VolumeError

TERABYTES = (2**14, 2**14, 2**12)  # of int16: 2 TiB


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        ("nifti", 1_000),
        ("dicom", 200),
        pytest.param("nifti", 10_000, marks=pytest.mark.slow),
        pytest.param("dicom", 2_000, marks=pytest.mark.slow),
    ],
)
def test_mutated_files(kind, count):
    script = Path(__file__).with_name("fuzz.py")
    done = subprocess.run([sys.executable, script, kind, str(count), "0"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    reasons = json.loads(done.stdout)["reasons"]
    assert sum(reasons.values()) == count
    assert reasons["usable"] > count / 10, "mutations that spoil everything test little"
    assert len(reasons) > 5


def reason_of(path: Path) -> str:
    with pytest.raises(VolumeError) as error:
        read_volume(path, spacing=(1, 1, 1))
    assert "\n" not in str(error.value)
    return error.value.reason


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_nifti_of_two_terabytes(tmp_path, suffix):
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape(TERABYTES)
    header["magic"], header["vox_offset"] = b"n+1", 352
    content = header.binaryblock + bytes(4)
    path = tmp_path / f"scan{suffix}"
    path.write_bytes(gzip.compress(content) if suffix == ".nii.gz" else content)
    assert reason_of(path) == "too_large"


def test_sizes_that_overflow_64_bits(tmp_path):
    header = nibabel.Nifti2Header()
    header.set_data_dtype(np.int16)
    header["dim"] = [3, 2**40, 2**40, 2**40, 1, 1, 1, 1]
    (tmp_path / "scan.nii").write_bytes(header.binaryblock + bytes(4))
    assert reason_of(tmp_path / "scan.nii") == "too_large"


def test_a_gzip_bomb_is_unpacked_no_further_than_its_header_tells(tmp_path, chest):
    image = nibabel.Nifti1Image(chest.T, np.eye(4) * 2)
    path = tmp_path / "scan.nii.gz"
    with gzip.open(path, "wb", 1) as file:
        file.write(image.to_bytes())
        for _ in range(64):
            file.write(bytes(2**20))
    assert reason_of(path) == "damaged"


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_other_formats_of_two_terabytes(tmp_path, suffix):
    sizes = " ".join(map(str, TERABYTES))
    nrrd = f"NRRD0004\ntype: int16\ndimension: 3\nsizes: {sizes}\nendian: little\nencoding: raw\n\n"
    meta = f"ObjectType = Image\nNDims = 3\nDimSize = {sizes}\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    path = tmp_path / f"scan{suffix}"
    path.write_bytes((nrrd if suffix == ".nrrd" else meta).encode() + bytes(100))
    assert reason_of(path) == "too_large"


def test_a_zip_bomb_and_an_array_of_two_terabytes(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "bomb.npz", ct=np.zeros((64, 128, 128), np.int16))
    header = {"descr": "<i2", "fortran_order": False, "shape": TERABYTES}
    with zipfile.ZipFile(tmp_path / "promise.npz", "w") as archive, archive.open("ct.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, header)
    assert reason_of(tmp_path / "promise.npz") in ("too_large", "damaged")
    monkeypatch.setattr(limits, "MAX_BYTES", 2**20)
    assert reason_of(tmp_path / "bomb.npz") == "too_large"


def test_a_deflated_dicom_bomb(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "MAX_FILE_BYTES", 2**20)
    data = pydicom.dcmread(get_testdata_file("CT_small.dcm", download=False))
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    data.Rows = data.Columns = 1024
    data.PixelData = bytes(2 * 2**20)
    data.save_as(tmp_path / "scan.dcm", enforce_file_format=True)
    assert reason_of(tmp_path / "scan.dcm") == "too_large"


def test_a_pickle_in_an_array_is_not_opened(tmp_path):
    np.savez(tmp_path / "scan.npz", ct=np.array([zlib.crc32], dtype=object))
    assert reason_of(tmp_path / "scan.npz") == "damaged"
