"""Files as other programs write them, and files that are no volumes: each is read rightly, or refused for its reason.

A case is a function that writes files and returns what to read; what it is read as is compared voxel by voxel with what
was written, at each voxel's place in the patient.
"""

import gzip
import io
import itertools
import os
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MRImageStorage,
    RLELossless,
    generate_uid,
)
from scipy.spatial.transform import Rotation

from hounsfield.volumes import VolumeError, read_volume

SPACING = (3.0, 0.8, 0.7)  # z, y, x
ORIGIN_RAS = (11.0, -7.0, 5.0)
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Truth:
    """What was written: HU by the axes of `affine_ras`, and the log's words about it."""

    array: np.ndarray
    affine_ras: np.ndarray
    said: str = ""
    spacing: tuple | None = None  # what a table gives


def check(path: Path, outcome: "Truth | str", caplog) -> None:
    if isinstance(outcome, str):
        with pytest.raises(VolumeError) as error:
            read_volume(path)
        assert error.value.reason == outcome, str(error.value)
        assert error.value.detail and "\n" not in str(error.value)
        return
    volume = read_volume(path, spacing=outcome.spacing)
    steps = np.linalg.norm(outcome.affine_ras[:3, :3], axis=0)
    np.testing.assert_allclose(sorted(volume.spacing), sorted(steps), rtol=1e-4)
    shape = outcome.array.shape
    assert sorted(volume.hu.shape) == sorted(shape)
    stored = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1).reshape(-1, 3)
    homogeneous = np.c_[stored, np.ones(len(stored))].T
    found = np.linalg.solve(volume.affine, LPS_TO_RAS @ outcome.affine_ras @ homogeneous)[:3].T
    index = np.rint(found).astype(int)
    np.testing.assert_allclose(found, index, atol=0.02)
    np.testing.assert_array_equal(volume.hu[tuple(index.T)], outcome.array.reshape(-1))
    assert outcome.said in caplog.text and bool(caplog.text) == bool(outcome.said), caplog.text


def chest_array(chest):
    """By x, y, z, as NIfTI stores it."""
    return np.ascontiguousarray(chest.T)


def ras_affine(turn=None, steps=(0.7, 0.8, 3.0)):
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3) if turn is None else turn) @ np.diag(steps)
    affine[:3, 3] = ORIGIN_RAS
    return affine


# NIfTI


def nifti_bytes(chest, version=1, extension=b"", fields=None, affine=None, form="sform", magic=None):
    """A file by hand, so that its header may be what no writer of ours would make. Returns header and voxels."""
    kind = {1: nibabel.Nifti1Header, 2: nibabel.Nifti2Header}[version]
    header = kind()
    header.set_data_dtype(np.int16)
    header.set_data_shape(chest.T.shape)
    affine = ras_affine() if affine is None else affine
    (header.set_sform if form == "sform" else header.set_qform)(affine, 1)
    if form == "qform":
        header["sform_code"] = 0
    header.set_xyzt_units("mm")
    size = header.sizeof_hdr
    header["vox_offset"] = size + 4 + len(extension)
    header["magic"] = magic or (b"n+1" if version == 1 else b"n+2")
    if version == 2:
        header["eol_check"] = (13, 10, 26, 10)
    for name, value in (fields or {}).items():
        header[name] = value
    start = header.binaryblock + (b"\x01\0\0\0" if extension else bytes(4)) + extension
    return start, chest.tobytes()


def extension(length, code=4, told=None):
    """`length` bytes in all, which is said in its first four."""
    told = length if told is None else told
    return told.to_bytes(4, "little") + code.to_bytes(4, "little") + bytes([65 + length % 26]) * (length - 8)


def write(path, content):
    path.write_bytes(gzip.compress(content, 1) if path.name.endswith(".gz") else content)
    return path


def with_extension(length, version, suffix, told=None):
    def make(folder, chest):
        content = b"".join(nifti_bytes(chest, version, extension(length, told=told)))
        return write(folder / f"scan{suffix}", content), Truth(chest_array(chest), ras_affine())

    return make


def with_offset(version, value, reason, extended=False):
    def make(folder, chest):
        content = b"".join(nifti_bytes(chest, version, extension(64) if extended else b"", {"vox_offset": value}))
        return write(folder / "scan.nii", content), reason

    return make


def quaternion(turn):
    x, y, z, w = Rotation.from_matrix(turn).as_quat()
    return np.array([x, y, z]) * (-1 if w < 0 else 1)


TURNS = {
    "none": np.eye(3),
    "about z": Rotation.from_euler("z", 180, degrees=True).as_matrix(),
    "about x": Rotation.from_euler("x", 180, degrees=True).as_matrix(),
    "about y": Rotation.from_euler("y", 90, degrees=True).as_matrix(),
    "oblique": Rotation.from_euler("xyz", (12, -9, 20), degrees=True).as_matrix(),
}


def with_qform(turn, factor, stretch, signs=(1, 1, 1), said=""):
    """stretch: what the quaternion's vector is multiplied with, as rounding does."""

    def make(folder, chest):
        affine = ras_affine(TURNS[turn] @ np.diag([1, 1, -1.0 if factor < 0 else 1.0]))
        b, c, d = quaternion(TURNS[turn]) * stretch
        fields = {"quatern_b": b, "quatern_c": c, "quatern_d": d, "qform_code": 1}
        fields["pixdim"] = [factor, 0.7 * signs[0], 0.8 * signs[1], 3.0 * signs[2], 1, 1, 1, 1]
        content = b"".join(nifti_bytes(chest, 1, b"", fields, ras_affine(), "qform"))
        return write(folder / "scan.nii", content), Truth(chest_array(chest), affine, said)

    return make


def with_impossible_qform(fields):
    def make(folder, chest):
        return write(folder / "scan.nii", b"".join(nifti_bytes(chest, 1, b"", fields, form="qform"))), "no_geometry"

    return make


def with_units(code, mm):
    def make(folder, chest):
        affine = ras_affine()
        if mm is not None:
            affine[:3] /= mm
        content = b"".join(nifti_bytes(chest, 1, b"", {"xyzt_units": code}, affine))
        return write(folder / "scan.nii", content), Truth(chest_array(chest), ras_affine()) if mm else "no_geometry"

    return make


def pair(version=1, suffixes=(".hdr", ".img"), named=0, start=0, spoil=None, reason=None):
    """start: byte of the .img where its voxels begin."""

    def make(folder, chest):
        magic = b"ni1" if version == 1 else b"ni2"
        header, voxels = nifti_bytes(chest, version, b"", {"vox_offset": start}, magic=magic)
        files = [folder / f"scan{suffix}" for suffix in suffixes]
        write(files[0], header)
        write(files[1], b"\7" * start + voxels)
        if spoil:
            spoil(*files)
        return files[named], reason or Truth(chest_array(chest), ras_affine())

    return make


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def lengthen(path):
    path.write_bytes(path.read_bytes() + bytes(2**21))


def damage_magic(path):
    content = bytearray(path.read_bytes())
    content[344:348] = bytes(4)
    path.write_bytes(content)


def pair_in_one_file(folder, chest):
    return write(folder / "scan.nii", b"".join(nifti_bytes(chest, magic=b"ni1"))), "incomplete_pair"


def alone_as_hdr(folder, chest):
    return write(folder / "scan.hdr", b"".join(nifti_bytes(chest))), Truth(chest_array(chest), ras_affine())


NIFTI = {
    f"extension of {length}, NIfTI-{version}, {suffix}": with_extension(length, version, suffix)
    for length in (16, 32, 592, 704, 720, 1008, 5008, 65_536, 2**20)
    for version in (1, 2)
    for suffix in (".nii", ".nii.gz")
}
NIFTI |= {f"extension of {length}, no multiple of 16": with_extension(length, 1, ".nii") for length in (17, 701, 5001)}
NIFTI |= {f"extension of 704 that tells {told}": with_extension(704, 1, ".nii", told) for told in (0, 8, 2**31 - 1)}
NIFTI |= {
    f"voxels at byte {value}, NIfTI-1": with_offset(1, value, reason)
    for value, reason in {
        352.5: "damaged",
        -16: "damaged",
        100: "damaged",
        np.nan: "damaged",
        np.inf: "damaged",
    }.items()
}
NIFTI |= {
    f"voxels at byte {value}, NIfTI-2": with_offset(2, value, reason)
    for value, reason in {-16: "damaged", 100: "damaged", 2**40: "too_large"}.items()
}
NIFTI |= {f"extension and no offset, NIfTI-{n}": with_offset(n, 0, "damaged", extended=True) for n in (1, 2)}
NIFTI |= {
    f"qform turned {turn}, pixdim[0] {factor}, quaternion {stretch}": with_qform(turn, factor, stretch)
    for turn, factor, stretch in itertools.product(TURNS, (0, 1, -1), (1, 1 + 6e-7, 1 + 2e-6))
}
NIFTI |= {
    f"qform turned {turn}, pixdim {signs}": with_qform(turn, 1, 1, signs, "negative voxel sizes in pixdim")
    for turn in ("about z", "oblique")
    for signs in itertools.product((1, -1), repeat=3)
    if min(signs) < 0
}
NIFTI |= {
    f"qform with {name}": with_impossible_qform(fields)
    for name, fields in {
        "a quaternion of 1.5": {"quatern_d": 1.5},
        "a quaternion of nan": {"quatern_b": np.nan},
        "an infinite quaternion": {"quatern_c": np.inf},
        "no size": {"pixdim": [1, 0, 0, 0, 1, 1, 1, 1]},
        "one size of 0": {"pixdim": [1, 0.7, 0.8, 0, 1, 1, 1, 1]},
        "a size of nan": {"pixdim": [1, 0.7, np.nan, 3, 1, 1, 1, 1]},
        "a factor of nan": {"pixdim": [np.nan, 0.7, 0.8, 3, 1, 1, 1, 1]},
        "an infinite place": {"qoffset_x": np.inf},
    }.items()
}
NIFTI |= {
    f"units {code}": with_units(code, {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}.get(code & 7))
    for code in [space + time for space in (0, 1, 2, 3) for time in (8, 40, 64, 128, 248)] + [4, 5, 6, 7]
}
NIFTI |= {
    "pair": pair(),
    "pair of NIfTI-2": pair(2),
    "pair, by its .img": pair(named=1),
    "pair, gzipped": pair(suffixes=(".hdr.gz", ".img.gz")),
    "pair, gzipped, by its .img": pair(suffixes=(".hdr.gz", ".img.gz"), named=1),
    "pair, voxels gzipped": pair(suffixes=(".hdr", ".img.gz")),
    "pair in capitals": pair(suffixes=(".HDR", ".IMG")),
    "pair, voxels at byte 16": pair(start=16),
    "pair without .img": pair(spoil=lambda header, image: image.unlink(), reason="incomplete_pair"),
    "pair without .hdr": pair(named=1, spoil=lambda header, image: header.unlink(), reason="incomplete_pair"),
    "pair, .img cut": pair(spoil=lambda header, image: cut(image), reason="truncated"),
    "pair, .img.gz cut": pair(suffixes=(".hdr", ".img.gz"), spoil=lambda header, image: cut(image), reason="truncated"),
    "pair, .img too long": pair(spoil=lambda header, image: lengthen(image), reason="damaged"),
    "pair, .hdr cut": pair(spoil=lambda header, image: cut(header), reason="truncated"),
    "Analyze": pair(spoil=lambda header, image: damage_magic(header), reason="not_an_image"),
    "half a pair named .nii": pair_in_one_file,
    "one file named .hdr": alone_as_hdr,
}


# DICOM


def slices_of(chest):
    """A dataset a plane, stored with 1024 added, from feet to head."""
    result = []
    for index, plane in enumerate(chest):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
        meta.MediaStorageSOPInstanceUID = generate_uid()
        data = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
        data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        data.Modality, data.SeriesInstanceUID, data.FrameOfReferenceUID = "CT", "1.2.3", "1.2.4"
        data.StudyInstanceUID, data.PatientID = "1.2.5", "one"
        data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        data.ImagePositionPatient = [-11.0, 7.0, 5.0 + SPACING[0] * index]
        data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        data.PixelSpacing = list(SPACING[1:])
        data.Rows, data.Columns = plane.shape
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.RescaleSlope, data.RescaleIntercept = 1, -1024
        put(data, plane.astype(np.int64) + 1024)
        result.append(data)
    return result


def put(data, words):
    order = ">" if getattr(data.file_meta, "TransferSyntaxUID", "") == ExplicitVRBigEndian else "<"
    data.PixelData = (words & 0xFFFF).astype(f"{order}u2").tobytes()
    data["PixelData"].VR = "OW"


def dicom_truth(chest, said=""):
    affine = np.eye(4)  # of columns, rows and slices
    affine[:3, :3] = np.diag([-0.7, -0.8, 3.0])
    affine[:3, 3] = [11.0, -7.0, 5.0]
    return Truth(chest_array(chest), affine, said)


def save(folder, datasets, pattern="{:03d}.dcm"):
    folder.mkdir(exist_ok=True)
    for index, data in enumerate(datasets):
        data.save_as(folder / pattern.format(index), enforce_file_format=True)
    return folder


def bare(syntax, pattern, with_meta=False):
    """Slices without preamble, and without file meta or with it."""

    def make(folder, chest):
        datasets = slices_of(chest)
        for index, (data, plane) in enumerate(zip(datasets, chest, strict=True)):
            data.file_meta.TransferSyntaxUID = syntax
            put(data, plane.astype(np.int64) + 1024)
            stream = io.BytesIO()
            encoding = {"implicit_vr": syntax.is_implicit_VR, "little_endian": syntax.is_little_endian}
            pydicom.dcmwrite(stream, data if with_meta else Dataset(data), **encoding, force_encoding=True)
            content = stream.getvalue()
            (folder / pattern.format(index)).write_bytes(content[132:] if with_meta else content)
        return folder, dicom_truth(chest)

    return make


def changed(change, said="", reason=None, pattern="{:03d}.dcm"):
    """change: what is done to the datasets; it may return the HU that they then hold."""

    def make(folder, chest):
        datasets = slices_of(chest)
        held = change(datasets, chest)
        save(folder / "s", datasets, pattern)
        return folder / "s", reason or dicom_truth(chest if held is None else held, said)

    return make


def series_a_slice(also=None, which=slice(None)):
    def change(datasets, chest):
        for data in datasets:
            data.SeriesInstanceUID = generate_uid()
        if also is not None:
            also(datasets[which])

    return change


def setting(**fields):
    def change(datasets, chest=None):
        for data in datasets:
            for name, value in fields.items():
                setattr(data, name, value)

    return change


def series_of_two(datasets, chest):
    del datasets[2:]
    series_a_slice()(datasets, chest)


def two_studies(datasets):
    setting(FrameOfReferenceUID="")(datasets)
    setting(StudyInstanceUID="9")(datasets[:4])


def repeat_last(datasets):
    datasets.append(datasets[-1])


def lift(datasets):
    for data in datasets:
        data.ImagePositionPatient = [-11.0, 7.0, float(data.ImagePositionPatient[2]) + 3.3]


def blank_modality(value, kind=CTImageStorage):
    def change(datasets, chest):
        for data in datasets:
            data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = kind
            if value is None:
                del data.Modality
            else:
                data.Modality = value

    return change


def bits(stored, high_bit, signed, syntax=ExplicitVRLittleEndian, extended=False, metal=0, overlay=0):
    """Values of `stored` bits that end in `high_bit`; `metal`: HU of a few voxels that need more of them."""

    def change(datasets, chest):
        held = chest.clip(-1000, 900).copy()
        if metal:
            held[5, 3:5, 3:5] = metal
        for data, plane in zip(datasets, held, strict=True):
            data.BitsStored, data.HighBit, data.PixelRepresentation = stored, high_bit, int(signed)
            data.RescaleIntercept = 0 if signed else -1024
            values = plane.astype(np.int64) - int(data.RescaleIntercept)
            if not metal and not extended:
                values &= (1 << stored) - 1
            if overlay:
                data.add_new((0x6000, 0x0102), "US", 12)
                values = values | overlay
            put(data, values << (high_bit + 1 - stored))
            if syntax != ExplicitVRLittleEndian:
                data.compress(syntax)
        return held

    return change


def wrong_high_bit(datasets, chest):
    held = chest.clip(-1000, 900)
    for data, plane in zip(datasets, held, strict=True):
        data.BitsStored, data.HighBit = 12, 15
        put(data, plane.astype(np.int64) + 1024)
    return held


def contradictory_bits(datasets, chest):
    for data, plane in zip(datasets, chest, strict=True):
        data.BitsStored, data.HighBit = 12, 15
        put(data, (plane.astype(np.int64) + 1024) * 5 + 1)


def enhanced(top=("RescaleSlope", "RescaleIntercept"), shared=None, kind=EnhancedCTImageStorage, modality="CT"):
    """One multi-frame object; top: what stays at its top. shared: slope and intercept of its functional groups."""

    def make(folder, chest):
        singles = slices_of(chest)
        whole = singles[0]
        for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
            delattr(whole, name)
        for name in {"RescaleSlope", "RescaleIntercept"} - set(top):
            delattr(whole, name)
        whole.SOPClassUID = whole.file_meta.MediaStorageSOPClassUID = kind
        whole.Modality = modality
        groups, orientation, measures = Dataset(), Dataset(), Dataset()
        orientation.ImageOrientationPatient, measures.PixelSpacing = [1, 0, 0, 0, 1, 0], list(SPACING[1:])
        groups.PlaneOrientationSequence, groups.PixelMeasuresSequence = [orientation], [measures]
        if shared:
            rescale = Dataset()
            rescale.RescaleSlope, rescale.RescaleIntercept = shared
            groups.PixelValueTransformationSequence = [rescale]
            whole.RescaleIntercept = -5000  # what the groups say comes first
        frames = []
        for index in range(len(chest)):
            frame, position = Dataset(), Dataset()
            position.ImagePositionPatient = [-11.0, 7.0, 5.0 + SPACING[0] * index]
            frame.PlanePositionSequence = [position]
            frames.append(frame)
        whole.SharedFunctionalGroupsSequence, whole.PerFrameFunctionalGroupsSequence = [groups], frames
        whole.NumberOfFrames = len(frames)
        put(whole, chest.astype(np.int64) + 1024)
        save(folder, [whole])
        sound = shared or set(top) == {"RescaleSlope", "RescaleIntercept"}
        return folder / "000.dcm", dicom_truth(chest) if sound else "no_rescale"

    return make


def zipped(n_files):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as content:
        for index in range(n_files):
            content.writestr(f"s/{index:03d}.dcm", bytes(300))
    return stream.getvalue()


STAND_INS = {
    "git-lfs pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 5242880\n",
    "git-annex pointer": b"/annex/objects/MD5E-s5242880--4d7a.nii.gz\n",
    "web page": b"\xef\xbb\xbf\n<!DOCTYPE html><html><body>Log in to continue</body></html>",
    "page without doctype": b"<HTML><head><title>404 Not Found</title></head></HTML>",
    "XML": b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
    "JSON": b'{"message": "token expired"}',
}
OTHERS = {
    "PDF": b"%PDF-1.7\n" + bytes(300),
    "PNG": b"\x89PNG\r\n\x1a\n" + bytes(300),
    "tar": b"scan/".ljust(257, b"\0") + b"ustar\x0000" + bytes(300),
    "7z": b"7z\xbc\xaf\x27\x1c" + bytes(300),
}
TEXT = {"text": b"These are the notes of the study.\n" * 9}


def among_slices(content, name, reason):
    """`content` in the place of the last slice, where nothing but its name tells of it."""

    def make(folder, chest):
        datasets = slices_of(chest)
        pattern = "IM{:04d}" + Path(name).suffix
        save(folder / "s", datasets, pattern)
        (folder / "s" / pattern.format(len(chest) - 1)).unlink()
        (folder / "s" / name).write_bytes(content)
        return folder / "s", reason

    return make


def beside_slices(name, content):
    """A file that is no slice among those that are."""

    def make(folder, chest):
        save(folder / "s", slices_of(chest))
        path = folder / "s" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return folder / "s", dicom_truth(chest)

    return make


def linked_to_nothing(folder, chest):
    save(folder / "s", slices_of(chest))
    last = sorted((folder / "s").iterdir())[-1]
    last.unlink()
    last.symlink_to(folder / "annex" / "object")
    return folder / "s", "not_a_file"


def goes_on_below(folder, chest):
    datasets = slices_of(chest)
    save(folder / "s", datasets[:7])
    save(folder / "s" / "more", datasets[7:])
    return folder / "s", "several_folders"


def another_below(folder, chest):
    save(folder / "s", slices_of(chest))
    others = slices_of(chest[:5] + 1)
    setting(SeriesInstanceUID="1.9")(others)
    save(folder / "s" / "other", others)
    return folder / "s", dicom_truth(chest)


SAID_ONE = "each slice has a series UID of its own"
SAID_BITS = "more bits than their BitsStored"
DICOM = {
    f"without preamble, {syntax.name}, {pattern}{', with meta' if meta else ''}": bare(syntax, pattern, meta)
    for syntax in (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)
    for pattern in ("IM{:04d}", "{:03d}.dcm", "1.2.840.{}")
    for meta in (False, True)
}
DICOM |= {
    "a series a slice": changed(series_a_slice(), SAID_ONE),
    "a series a slice, no frame of reference": changed(series_a_slice(setting(FrameOfReferenceUID="")), SAID_ONE),
    "a series a slice, shuffled": changed(series_a_slice(list.reverse), SAID_ONE),
    "a series a slice, one twice": changed(series_a_slice(repeat_last), SAID_ONE),
    "a series a slice, two frames": changed(
        series_a_slice(setting(FrameOfReferenceUID="9"), slice(4)), reason="several_series"
    ),
    "a series a slice, two patients": changed(
        series_a_slice(setting(PatientID="2"), slice(4)), reason="several_series"
    ),
    "a series a slice, two studies": changed(series_a_slice(two_studies), reason="several_series"),
    "a series a slice, uneven": changed(series_a_slice(lift, slice(6, 12)), reason="uneven_spacing"),
    "a series a slice, two slices": changed(series_of_two, reason="several_series"),
    "a series a slice, one turned": changed(
        series_a_slice(setting(ImageOrientationPatient=[1, 0, 0, 0, 0, -1]), slice(1)), reason="several_sizes"
    ),
}
DICOM |= {f"modality {value!r}": changed(blank_modality(value)) for value in ("", " ", None)}
DICOM |= {
    f"pixels of {mm} mm": changed(setting(PixelSpacing=[mm, mm]), reason="no_geometry") for mm in (0, -0.7, 1000, 1e-4)
}
DICOM |= {
    f"modality {value!r} of an MR": changed(blank_modality(value, MRImageStorage), reason="not_ct")
    for value in ("", None, "MR")
}
DICOM |= {
    f"{stored} bits, the highest {high_bit}, {'signed' if signed else 'unsigned'}, {syntax.name}": changed(
        bits(stored, high_bit, signed, syntax)
    )
    for stored, high_bit in ((12, 15), (12, 11), (12, 13), (13, 15), (14, 14))
    for signed in (False, True)
    for syntax in (ExplicitVRLittleEndian, RLELossless)
}
DICOM |= {
    "12 bits, signed, extended": changed(bits(12, 11, True, extended=True)),
    "12 bits, metal beyond": changed(bits(12, 11, False, metal=4000), SAID_BITS),
    "12 bits, metal beyond, RLE": changed(bits(12, 11, False, RLELossless, metal=4000), SAID_BITS),
    "12 bits, signed, metal beyond": changed(bits(12, 11, True, metal=4000), SAID_BITS),
    "12 bits, graphics above": changed(bits(12, 11, False, overlay=0x1000)),
    "12 bits, the tag HighBit wrong": changed(wrong_high_bit),
    "12 bits, contradicted by the pixels": changed(contradictory_bits, reason="cannot_decode"),
    "enhanced, rescale at its top": enhanced(),
    "enhanced, rescale at its top and in its groups": enhanced(shared=(1, -1024)),
    "enhanced, slope alone": enhanced(top=("RescaleSlope",)),
    "enhanced, no rescale": enhanced(top=()),
    "enhanced, blank modality": enhanced(modality=""),
    "a slice that is a link to nothing": linked_to_nothing,
    "a series that goes on below": goes_on_below,
    "another series below": another_below,
}
DICOM |= {
    f"{kind} for the last slice, {name}": among_slices(content, name, "damaged")
    for kind, content in STAND_INS.items()
    for name in ("IM0011", "IM0011.dcm")
}
DICOM |= {f"{kind} named .dcm": among_slices(content, "x.dcm", "damaged") for kind, content in (OTHERS | TEXT).items()}
DICOM |= {
    f"zeros for the last slice, {size}, {name}": among_slices(bytes(size), name, "truncated")
    for size in (1, 127, 132, 5000)
    for name in ("IM0011", "IM0011.dcm")
}
DICOM |= {"the magic word damaged": among_slices(bytes(128) + b"DIXM" + bytes(400), "IM0011", "damaged")}
DICOM |= {
    f"{name} beside": beside_slices(name, content)
    for name, content in {
        "LICENSE": TEXT["text"],
        "VERSION": b"2",
        "notes.txt": b"",
        "@eaDir/IM0001@SynoEAStream": bytes(40),
        "@eaDir/IM0001.dcm": b"",
        "thumbs/1.jpg": b"\xff\xd8\xff" + bytes(90),
        "voxels.raw": bytes(4000),
        "seg.mha": b"ObjectType = Image\n",
        "slices.zip": zipped(3),
    }.items()
}


# MetaImage and NRRD


def itk(suffix, without=(), changes=None, compressed=False, spacing=None, reason=None):
    """Written by ITK, then with lines of its header taken out or changed."""

    def make(folder, chest):
        image = SimpleITK.GetImageFromArray(chest)
        image.SetSpacing(SPACING[::-1])
        image.SetOrigin((-11.0, 7.0, 5.0))
        path = folder / f"scan{suffix}"
        SimpleITK.WriteImage(image, path, useCompression=compressed)
        mark = b"\n\n" if suffix == ".nrrd" else b"ElementDataFile"
        head, found, rest = path.read_bytes().partition(mark)
        lines = [line for line in head.split(b"\n") if not line.lower().startswith(tuple(without))]
        for name, value in (changes or {}).items():
            lines = [b"%s%s" % (name, value) if line.startswith(name) else line for line in lines]
            if not any(line.startswith(name) for line in lines):
                lines.append(b"%s%s" % (name, value))
        path.write_bytes(
            b"\n".join(lines) + (b"\n" if found == b"ElementDataFile" and lines[-1] else b"") + found + rest
        )
        truth = dicom_truth(chest)
        return path, reason or Truth(truth.array, truth.affine_ras, spacing=spacing)

    return make


MHA = (b"elementspacing", b"elementsize")
NRRD = (b"space directions", b"spacings")
ITK = {f"{suffix} as it is": itk(suffix) for suffix in (".mha", ".mhd", ".nrrd", ".nhdr")}
ITK |= {
    f"{suffix} without spacing{', compressed' if compressed else ''}": itk(
        suffix, MHA if "m" in suffix else NRRD, compressed=compressed, reason="no_geometry"
    )
    for suffix in (".mha", ".mhd", ".nrrd", ".nhdr")
    for compressed in (False, True)
}
ITK |= {f"{suffix}, spacing of a table": itk(suffix, MHA, spacing=SPACING) for suffix in (".mha", ".mhd")}
WRONG_SPACINGS = (b"nan nan nan", b"", b"1e9 1 1", b"0.7 0.8 nan", b"0.001 1 1", b"0 0 0", b"0.7 0.8 0", b"-0.7 0.8 3")
ITK |= {
    f".mha, spacing {value.decode()}": itk(".mha", MHA, {b"ElementSpacing = ": value}, reason="no_geometry")
    for value in (*WRONG_SPACINGS, b"0,7 0,8 3", b"a b c")
}
ITK |= {
    f".nrrd, {name.decode()}{value.decode()}": itk(".nrrd", (), {name: value}, reason="no_geometry")
    for name, value in (
        (b"space units: ", b'"cm" "cm" "cm"'),
        (b"space units: ", b'"m" "m" "m"'),
        (b"space directions: ", b"none none none"),
        (b"space directions: ", b"(nan,0,0) (0,nan,0) (0,0,nan)"),
    )
}
SAID_MORE = "bytes follow the voxels that its header tells of"


def with_more(make, n_bytes, last=None):
    """`n_bytes` after the voxels of what `make` writes; last: the file of its folder that they are in."""

    def more(folder, chest):
        path, truth = make(folder, chest)
        file = folder / last if last else path
        file.write_bytes(file.read_bytes() + bytes(n_bytes))
        return path, "damaged" if n_bytes >= 2**20 else replace(truth, said=SAID_MORE)

    return more


def with_fewer_slices(suffix, compressed):
    """A header that tells of 6 of the 12 slices."""

    def fewer(folder, chest):
        path, _ = itk(suffix, compressed=compressed)(folder, chest)
        path.write_bytes(path.read_bytes().replace(b"16 14 12", b"16 14 6", 1))
        return path, replace(dicom_truth(chest[:6]), said=SAID_MORE)

    return fewer


MORE = {
    f"half of the slices of {suffix}{', compressed' if compressed else ''}": with_fewer_slices(suffix, compressed)
    for suffix in (".mha", ".mhd", ".nrrd", ".nhdr")
    for compressed in (False, True)
}
MORE |= {
    f"{n_bytes} bytes after the voxels of {kind}": with_more(make, n_bytes, last)
    for n_bytes in (1, 448, 2**20 - 1, 2**21)
    for kind, make, last in (
        (".nii", with_extension(592, 1, ".nii"), None),
        (".img", pair(), "scan.img"),
        (".mha", itk(".mha"), None),
        (".raw", itk(".mhd"), "scan.raw"),
        (".nrrd", itk(".nrrd"), None),
    )
}
ITK |= {".nrrd in mm": itk(".nrrd", (), {b"space units: ": b'"mm" "mm" "mm"'})}


# What is no image, and has the name of one


def named(content, suffix, reason):
    def make(folder, chest):
        path = folder / f"scan{suffix}"
        path.write_bytes(content)
        return path, reason

    return make


def fifo(folder, chest):
    os.mkfifo(folder / "scan.nii.gz")
    return folder / "scan.nii.gz", "not_a_file"


FOREIGN = {
    f"{kind} named {suffix}": named(content, suffix, "not_an_image")
    for kind, content in (STAND_INS | OTHERS).items()
    for suffix in (".nii.gz", ".nii", ".hdr", ".nrrd", ".mha", ".mhd", ".npz")
}
FOREIGN |= {
    f"a zip of slices named {suffix}": named(zipped(3), suffix, "archive") for suffix in (".zip", ".npz", ".nii.gz")
}
FOREIGN |= {"an empty zip": named(zipped(0), ".zip", "archive")}
FOREIGN |= {"a cut zip": named(zipped(3)[:-9], ".zip", "truncated")}
FOREIGN |= {"a pipe": fifo}

CASES = {
    f"{family}: {name}": make
    for family, cases in {"NIfTI": NIFTI, "DICOM": DICOM, "ITK": ITK, "more": MORE, "foreign": FOREIGN}.items()
    for name, make in cases.items()
}


@pytest.mark.parametrize("name", CASES)
def test_read_rightly_or_refused(tmp_path, chest, caplog, name):
    path, outcome = CASES[name](tmp_path, chest)
    check(path, outcome, caplog)


@pytest.mark.parametrize("kind", [*STAND_INS, *OTHERS])
def test_the_message_says_what_it_is_and_what_to_do(tmp_path, kind):
    (tmp_path / "scan.nii.gz").write_bytes((STAND_INS | OTHERS)[kind])
    with pytest.raises(VolumeError) as error:
        read_volume(tmp_path / "scan.nii.gz")
    assert kind.split()[-1].lower() in error.value.detail.lower().replace("page,", "doctype, page,")
    assert ";" in error.value.detail


def test_a_zip_of_slices_is_counted_and_named(tmp_path):
    (tmp_path / "scan.zip").write_bytes(zipped(20))
    with pytest.raises(VolumeError, match=r"a zip archive of 20 files \('s/000.dcm' first\); unpack it"):
        read_volume(tmp_path / "scan.zip")
