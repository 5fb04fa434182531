"""`hounsfield init` on the layouts that users bring, each taken to a manifest without editing."""

import io
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pydicom
import pytest
import yaml
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from hounsfield.cli import init_command
from hounsfield.cli.main import main
from hounsfield.cohort.manifest import build_manifest
from hounsfield.cohort.settings import CohortSettings, SplitSettings

PATIENTS = 12


def scans(visits=2):
    """(patient number, visit) of every scan."""
    return [(patient, visit) for patient in range(1, PATIENTS + 1) for visit in range(1, visits + 1)]


def paint(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    hu = np.random.default_rng(seed).normal(-300, 400, (6, 6, 6)).clip(-1000, 1000).astype(np.int16)
    nibabel.Nifti1Image(hu, np.diag([2.0, 2.0, 2.0, 1.0])).to_filename(path)


def paint_series(folder, seed):
    """Three slices of a DICOM series."""
    folder.mkdir(parents=True)
    series, study = generate_uid(), generate_uid()
    for number in range(3):
        slice_ = pydicom.Dataset()
        slice_.file_meta = FileMetaDataset()
        slice_.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        slice_.SOPClassUID, slice_.SOPInstanceUID = CTImageStorage, generate_uid()
        slice_.SeriesInstanceUID, slice_.StudyInstanceUID = series, study
        slice_.Modality, slice_.Rows, slice_.Columns = "CT", 4, 4
        slice_.BitsAllocated, slice_.BitsStored, slice_.HighBit, slice_.PixelRepresentation = 16, 16, 15, 1
        slice_.SamplesPerPixel, slice_.PhotometricInterpretation = 1, "MONOCHROME2"
        slice_.PixelSpacing, slice_.ImageOrientationPatient = [1, 1], [1, 0, 0, 0, 1, 0]
        slice_.ImagePositionPatient, slice_.RescaleSlope, slice_.RescaleIntercept = [0, 0, 2 * number], 1, 0
        slice_.PixelData = np.random.default_rng([seed, number]).integers(-1000, 500, (4, 4)).astype("<i2").tobytes()
        slice_.save_as(folder / f"IM{number:04d}.dcm", enforce_file_format=True)


def labels_of(number):
    return {"nodule": number % 2, "effusion": number // 2 % 2}


def nested(folder):
    rows = []
    for number, (patient, visit) in enumerate(scans()):
        paint(folder / f"p{patient:03d}" / f"p{patient:03d}_v{visit}.nii.gz", number)
        rows.append({"file": f"p{patient:03d}_v{visit}", **labels_of(number)})
    pd.DataFrame(rows).to_csv(folder.parent / "labels.csv", index=False)
    return ["labels.csv"], PATIENTS


def accession_folders(folder):
    rows = []
    for number, (patient, visit) in enumerate(scans()):
        paint_series(folder / f"ACC{1000 + number}", number)
        row = {"PatientID": f"00{patient}", "AccessionNumber": f"ACC{1000 + number}", "StudyDate": f"2020-01-0{visit}"}
        rows.append(row | labels_of(number))
    pd.DataFrame(rows).to_csv(folder.parent / "labels.csv", index=False)
    return ["labels.csv"], PATIENTS


def german_excel(folder):
    rows, words = [], ["ja", "nein", "unklar"]
    for number, (patient, visit) in enumerate(scans()):
        paint(folder / f"CT_{patient:02d}_{visit}.nii.gz", number)
        row = {"Dateiname": f"CT_{patient:02d}_{visit}.nii.gz", "Patientennummer": f"K{patient}"}
        row |= {"Geschlecht": "m" if patient % 2 else "w", "Alter": 40 + patient}
        rows.append(row | {"Rundherd": words[number % 3], "Erguss": words[number // 2 % 2]})
    pd.DataFrame(rows).to_excel(folder.parent / "befunde.xlsx", index=False)
    return ["befunde.xlsx"], PATIENTS


def images_and_labels(folder):
    """nnU-Net's: images and segmentations of one name in two folders, and a number for the channel."""
    rows = []
    for number, (patient, _) in enumerate(scans(visits=1)):
        paint(folder / "imagesTr" / f"lung_{patient:03d}_0000.nii.gz", number)
        paint(folder / "labelsTr" / f"lung_{patient:03d}.nii.gz", number + 100)
        rows.append({"case": f"lung_{patient:03d}", **labels_of(number)})
    pd.DataFrame(rows).to_csv(folder.parent / "labels.csv", index=False)
    return ["labels.csv"], PATIENTS


def bids(folder):
    rows = []
    for number, (patient, _) in enumerate(scans(visits=1)):
        paint(folder / f"sub-{patient:02d}" / "ct" / f"sub-{patient:02d}_ct.nii.gz", number)
        row = {"participant_id": f"sub-{patient:02d}", "sex": "F" if patient % 2 else "M", "age": 30 + patient}
        rows.append(row | labels_of(number))
    pd.DataFrame(rows).to_csv(folder.parent / "participants.tsv", index=False, sep="\t")
    return ["participants.tsv"], PATIENTS


def split_column(folder):
    rows = []
    for number, (patient, visit) in enumerate(scans()):
        paint(folder / f"{patient:03d}-{visit}.nii.gz", number)
        split = "training" if patient <= 6 else "validation" if patient <= 9 else "testing"
        rows.append(
            {"image": f"ct/{patient:03d}-{visit}.nii.gz", "subject": patient, "split": split} | labels_of(number)
        )
    pd.DataFrame(rows).to_csv(folder.parent / "labels.csv", index=False)
    return ["labels.csv"], PATIENTS


def metadata_beside(folder):
    """Labels in one table, patients and scanner in another."""
    labels, people = [], []
    for number, (patient, visit) in enumerate(scans()):
        paint(folder / f"{patient:03d}-{visit}.nii.gz", number)
        labels.append({"VolumeName": f"{patient:03d}-{visit}.nii.gz", **labels_of(number)})
        people.append({"VolumeName": f"{patient:03d}-{visit}.nii.gz", "patient_id": f"P{patient}", "Manufacturer": "A"})
    pd.DataFrame(labels).to_csv(folder.parent / "labels.csv", index=False)
    pd.DataFrame(people).to_csv(folder.parent / "people.csv", index=False)
    return ["labels.csv", "people.csv"], PATIENTS


LAYOUTS = [nested, accession_folders, german_excel, images_and_labels, bids, split_column, metadata_beside]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_a_layout_becomes_a_cohort_without_editing(layout, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tables, patients = layout(tmp_path / "ct")
    assert main(["init", "ct", *tables, "--output", "mine.yaml", "--yes"]) == 0
    assert "hounsfield plan --config mine.yaml" in capsys.readouterr().out
    config = yaml.safe_load(Path("mine.yaml").read_text())
    assert len(config["cohort"]["pathologies"]) == 2
    split = SplitSettings.from_config(config["split"])
    cohort = CohortSettings.from_config(config["cohort"])
    manifest = build_manifest(cohort, split, 0, tmp_path / "cache.tsv").volumes
    assert len(manifest) == len(scans(2 if layout not in (images_and_labels, bids) else 1))
    assert manifest["patient"].nunique() == patients
    positives = manifest[config["cohort"]["pathologies"]].sum().to_numpy()
    assert (positives > 0).all() and (positives < len(manifest)).all()


def test_a_file_is_never_written_over(tmp_path, monkeypatch, capsys, caplog):
    monkeypatch.chdir(tmp_path)
    nested(tmp_path / "ct")
    Path("mine.yaml").write_text("precious")
    assert main(["init", "ct", "labels.csv", "--output", "mine.yaml", "--yes"]) == 2
    assert Path("mine.yaml").read_text() == "precious" and "is there already" in caplog.text


def test_without_a_terminal_nothing_is_asked_and_nothing_written(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    nested(tmp_path / "ct")
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert main(["init", "ct", "labels.csv", "--output", "mine.yaml"]) == 2
    assert not Path("mine.yaml").exists() and "give --yes" in caplog.text


@pytest.mark.parametrize(
    ("answers", "kept"), [(["", ""], ["nodule", "effusion"]), (["2", "y"], ["effusion"]), (["nodule", ""], ["nodule"])]
)
def test_what_is_asked_decides(answers, kept, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    nested(tmp_path / "ct")
    replies = iter(answers)
    monkeypatch.setattr(init_command, "ask_on_terminal", lambda: lambda question: next(replies))
    assert main(["init", "ct", "labels.csv", "--output", "mine.yaml"]) == 0
    assert yaml.safe_load(Path("mine.yaml").read_text())["cohort"]["pathologies"] == kept


def test_what_matches_nothing_is_said_with_a_file_and_a_row(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    nested(tmp_path / "ct")
    Path("labels.csv").write_text("id,nodule\nX1,0\nX2,1\n")
    assert main(["init", "ct", "labels.csv", "--output", "mine.yaml", "--yes"]) == 2
    assert "p001/p001_v1.nii.gz" in caplog.text and "'X1'" in caplog.text


def test_rows_and_files_without_a_partner_are_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    nested(tmp_path / "ct")
    table = Path("labels.csv").read_text().splitlines()
    Path("labels.csv").write_text("\n".join([*table[:-1], "lost,1,0"]) + "\n")
    assert main(["init", "ct", "labels.csv", "--output", "mine.yaml", "--yes"]) == 0
    shown = capsys.readouterr().out
    assert "rows without a file: 1\n  lost" in shown
    assert "files without a row: 1\n  p012/p012_v2.nii.gz" in shown
