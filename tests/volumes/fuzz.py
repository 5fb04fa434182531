"""Mutated files through `read_volume`, in a process of limited memory: python tests/volumes/fuzz.py KIND COUNT SEED.

Prints how often each reason came, and the slowest file. Whatever is no Volume and no VolumeError ends the process.
"""

import collections
import gzip
import io
import json
import logging
import resource
import shutil
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path

import nibabel
import numpy as np
import pydicom
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import CTImageStorage, DeflatedExplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from hounsfield.volumes.read import read_volume
from hounsfield.volumes.volume import VolumeError

MORE_MEMORY_BYTES = 2 * 2**30
SECONDS_A_FILE = 20
NIFTI_HEADER_BYTES = 352
# Of pydicom's own test files: a CT slice, JPEG extended, JPEG baseline, JPEG 2000, JPEG-LS, big-endian.
DICOM_FILES = ("CT_small.dcm", "JPGExtended.dcm", "JPEG-lossy.dcm", "JPEG2000.dcm", "MR_small_jpeg_ls_lossless.dcm")
DICOM_FILES += ("MR_small_bigendian.dcm",)
INTERESTING = (
    b"\xff" * 8,
    b"\x00" * 8,
    b"\x7f" * 4,
    b"\xff\xff\xff\x7f",
    b"\x00\x00\x00\x80",
    b"-9e99",
    b"nan",
    b"\\\\",
)


def main(kind: str, count: int, seed: int):
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    random = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make = {"nifti": nifti_maker, "dicom": dicom_maker}[kind](folder, random)
        read(make())  # what is loaded once counts for no file
        limit_memory()
        reasons, slowest = collections.Counter(), 0.0
        for _ in range(count):
            path = make()
            signal.alarm(SECONDS_A_FILE)
            started = time.perf_counter()
            reasons[read(path)] += 1
            slowest = max(slowest, time.perf_counter() - started)
            signal.alarm(0)
    print(json.dumps({"reasons": dict(reasons.most_common()), "slowest_s": round(slowest, 3)}))


def read(path: Path) -> str:
    try:
        assert np.isfinite(read_volume(path).affine).all()
    except VolumeError as error:
        assert "\n" not in str(error), str(error)
        return error.reason
    return "usable"


def limit_memory():
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MORE_MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def nifti_maker(folder: Path, random: np.random.Generator):
    """Chest-like volumes whose headers have a few bytes changed, as .nii and .nii.gz, of both versions."""
    hu = np.full((24, 24, 12), -1000, np.int16)
    hu[4:-4, 4:-4] = random.normal(20, 30, (16, 16, 12))
    sources = []
    for image_class in (nibabel.Nifti1Image, nibabel.Nifti2Image):
        image = image_class(hu, np.diag([4.0, 4.0, 4.0, 1.0]))
        image.header.set_xyzt_units("mm")
        sources.append(image.to_bytes())

    def make() -> Path:
        content = bytearray(sources[random.integers(len(sources))])
        for _ in range(random.integers(1, 6)):
            change(content, int(random.integers(NIFTI_HEADER_BYTES)), random)
        path = folder / ("scan.nii.gz" if random.random() < 0.5 else "scan.nii")
        path.write_bytes(gzip.compress(content, 1) if path.suffix == ".gz" else content)
        return path

    return make


def dicom_maker(folder: Path, random: np.random.Generator):
    """A slice of some transfer syntax with bytes changed anywhere, beside its unchanged neighbour."""
    sources = [[dicom_bytes(as_ct(data, place)) for place in range(2)] for data in encoded_slices()]

    def make() -> Path:
        scan = folder / "scan"
        shutil.rmtree(scan, ignore_errors=True)
        scan.mkdir()
        first, second = sources[random.integers(len(sources))]
        content = bytearray(first)
        for _ in range(random.integers(1, 9)):
            # Half of them in the header, where most is decided.
            end = len(content) if random.random() < 0.5 else min(len(content), 2000)
            change(content, int(random.integers(132, end)), random)
        if random.random() < 0.1:
            del content[int(random.integers(len(content))) :]
        (scan / "1.dcm").write_bytes(content)
        (scan / "2.dcm").write_bytes(second)
        return scan

    return make


def encoded_slices() -> list[pydicom.Dataset]:
    """One slice as it is, in the syntaxes that pydicom can write, and pydicom's own files of those it cannot."""
    slices = [dcmread(get_testdata_file(name, download=False)) for name in DICOM_FILES]
    for syntax in (RLELossless, JPEG2000Lossless):
        slices.append(dcmread(get_testdata_file(DICOM_FILES[0], download=False)))
        slices[-1].compress(syntax)
    slices.append(dcmread(get_testdata_file(DICOM_FILES[0], download=False)))
    slices[-1].file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    return slices


def as_ct(data: pydicom.Dataset, place: int) -> pydicom.Dataset:
    """The slice as one of a CT series, `place` steps up."""
    data.Modality, data.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    data.ImagePositionPatient, data.ImageOrientationPatient = [0, 0, 5 * place], [1, 0, 0, 0, 1, 0]
    data.PixelSpacing, data.RescaleSlope, data.RescaleIntercept = [1, 1], 1, -1024
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = CTImageStorage
    data.SeriesInstanceUID, data.SOPInstanceUID = "1.2", f"1.2.{place}"
    return data


def dicom_bytes(data: pydicom.Dataset) -> bytes:
    stream = io.BytesIO()
    data.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def change(content: bytearray, offset: int, random: np.random.Generator):
    new = INTERESTING[random.integers(len(INTERESTING))] if random.random() < 0.4 else random.bytes(1)
    content[offset : offset + len(new)] = new


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
