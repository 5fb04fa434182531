"""Finding new scans: every one of them, under a name of its own."""

import io
import os
import zipfile

import numpy as np
import pandas as pd
import pytest

from hounsfield.cli import predict_command
from hounsfield.cohort.files import files_digest, volume_paths
from hounsfield.errors import TableError
from hounsfield.inference.scans import NO_SCAN, REFUSED, SCAN_COLUMNS, find_scans, write_scan_shards
from hounsfield.tables import read_table


@pytest.fixture
def folder(tmp_path):
    """Two scans of one name, one of its own, and a folder of slices."""
    for value, name in enumerate(("p1/ct.npz", "p2/ct.npz", "chest.npz")):
        path = tmp_path / "new" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, ct=np.full((2, 2, 2), value))
    (tmp_path / "new/slices").mkdir()
    (tmp_path / "new/slices/1.dcm").write_bytes(b"slice")
    return tmp_path / "new"


def test_scans_of_one_name_are_all_found(folder, tmp_path):
    rows, refused = find_scans([folder, folder / "chest.npz", tmp_path / "absent.npz"], "auto")
    assert list(rows) == SCAN_COLUMNS
    assert rows["volume"].tolist() == sorted(["chest", str(folder / "p1/ct.npz"), str(folder / "p2/ct.npz"), "slices"])
    assert rows["stamp"].nunique() == 4 and set(rows["hu"]) == {"auto"}
    assert refused[REFUSED[:3]].to_numpy().tolist() == [["absent", str(tmp_path / "absent.npz"), "missing"]]


def test_a_folder_without_scans_is_refused(tmp_path):
    with pytest.raises(TableError, match="no scan in it"):
        find_scans([tmp_path], "auto")


def test_the_digest_of_a_folder_changes_with_its_scans_alone(folder):
    digests = [files_digest(folder)]
    (folder / "notes.txt").write_text("nothing")
    assert files_digest(folder) == digests[0]
    for change in (
        lambda: np.savez(folder / "more.npz", ct=np.zeros((2, 2, 2))),
        lambda: (folder / "slices/1.dcm").write_bytes(b"another slice"),
        lambda: np.savez(folder / "chest.npz", ct=np.zeros((3, 3, 3))),
        lambda: (folder / "more.npz").unlink(),
    ):
        change()
        assert files_digest(folder) not in digests
        digests.append(files_digest(folder))


def test_an_added_scan_changes_one_shard(folder, tmp_path):
    def shards():
        scans, _ = find_scans([folder], "auto")
        paths = [tmp_path / f"shards/{number:02d}.tsv" for number in range(4)]
        write_scan_shards(scans, paths)
        return [path.read_text() for path in paths], scans, paths

    before, scans, paths = shards()
    assert sum(len(read_table(path, ["volume"])) for path in paths) == len(scans) == 4
    np.savez(folder / "more.npz", ct=np.zeros((2, 2, 2)))
    after, _, _ = shards()
    assert sum(a != b for a, b in zip(before, after, strict=True)) == 1


def mixed(root):
    """A folder as it comes: what each file is, by its path. None: part of a volume that another path names."""
    dicom = bytes(128) + b"DICM" + bytes(100)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as content:
        content.writestr("1.dcm", b"slice")
    metaimage = b"ObjectType = Image\nNDims = 3\nElementDataFile = a.raw\n"
    files = {
        "chest.nii.gz": (b"<html>", "volume"),  # reading it is another matter
        "CHEST2.NII": (b"", "volume"),
        "lung/a.mhd": (metaimage, "volume"),
        "lung/a.raw": (b"1", None),
        "lung/b.nhdr": (b"NRRD0004\ndata file: b.raw\n\n", "volume"),
        "lung/b.raw": (b"1", None),
        "lung/c.raw": (b"1", NO_SCAN),
        "pair/x.hdr": (b"1", "volume"),
        "pair/x.img": (b"1", None),
        "pair/y.img": (b"1", "incomplete_pair"),
        "LICENSE": (b"MIT", NO_SCAN),
        "alone/LICENSE": (b"MIT", NO_SCAN),
        "alone/README.txt": (b"read me", NO_SCAN),
        "alone/empty": (b"", NO_SCAN),
        "page": (b"<!doctype html>", NO_SCAN),
        "slices.zip": (archive.getvalue(), "archive"),
        "more.tar": (b"x".ljust(257, b"\0") + b"ustar", "archive"),
        "disc/DICOMDIR": (dicom, NO_SCAN),
        "disc/IMAGES/IM1": (dicom, None),
        "p1/IM1.dcm": (dicom, None),
        "p1/notes.txt": (b"notes", NO_SCAN),
        "p1/@eaDir/IM1@SynoEAStream": (b"1", NO_SCAN),
        "p2/1.2.840.1": (b"\x08\x00\x05\x00\x0a\x00\x00\x00ISO_IR 100", None),
        "p2/seg.nrrd": (b"NRRD", "volume"),
        "p3/scout": (dicom, None),
        "p3/series/1.IMA": (dicom, None),
        "p4/old.bin": (dicom, None),
        "names/with\ttab.nii": (b"1", "unwritable_name"),
        ".DS_Store": (b"1", "hidden"),
        ".hidden/scan.nii.gz": (b"1", "hidden"),
    }
    for name, (content, _) in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    (root / "lost.nii.gz").symlink_to(root / "nowhere")
    (root / "lost").symlink_to(root / "nowhere")
    os.mkfifo(root / "pipe")
    found = {name: outcome for name, (_, outcome) in files.items()}
    found |= {"lost.nii.gz": "volume", "lost": "not_a_file", "pipe": "not_a_file"}
    return found | dict.fromkeys(["disc/IMAGES", "p1", "p2", "p3", "p3/series", "p4"], "volume")


def test_every_file_is_a_scan_or_refused_and_the_cohort_sees_the_same(tmp_path):
    expected = mixed(tmp_path / "new")
    rows, refused = find_scans([tmp_path / "new"], "auto")
    volumes = {os.path.relpath(path, tmp_path / "new") for path in volume_paths(tmp_path / "new")}
    assert volumes == {name for name, outcome in expected.items() if outcome == "volume"}
    named = dict(zip(refused["path"], refused["reason"], strict=True))
    assert len(rows) + len(refused) == len({*rows["path"], *named}), "each once"
    assert volumes == {os.path.relpath(path, tmp_path / "new") for path in rows["path"]} | {"lost.nii.gz"}
    assert named.pop(str(tmp_path / "new/lost.nii.gz")) == "missing"
    tab = str(tmp_path / "new/names/with\\ttab.nii")
    told = {str(tmp_path / "new" / name): outcome for name, outcome in expected.items()}
    told[f"'{tab}'"] = told.pop(tab.replace("\\t", "\t"))
    assert named == {path: told for path, told in told.items() if told not in ("volume", None, "hidden")}
    assert refused["detail"].str.contains(";|neither|and no slice|link").all()


def test_a_folder_that_cannot_be_looked_into_is_named(folder, tmp_path, monkeypatch, caplog):
    scandir = os.scandir

    def refuse(path):
        if os.path.basename(path) == "p1":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    rows, refused = find_scans([folder], "auto")
    assert len(rows) == 3
    assert refused[["path", "reason"]].to_numpy().tolist() == [[str(folder / "p1"), "unreadable"]]
    assert len(volume_paths(folder)) == 3 and "p1: cannot be looked into" in caplog.text


def test_files_that_are_no_scans_are_told_of_where_nothing_else_is(tmp_path):
    (tmp_path / "LICENSE").write_text("MIT")
    with pytest.raises(TableError, match=r"no scan in it .*1 others.*LICENSE: no_scan"):
        find_scans([tmp_path], "auto")


@pytest.mark.parametrize(("reasons", "code"), [([], 0), ([NO_SCAN], 0), ([NO_SCAN, "archive"], 1), (["truncated"], 1)])
def test_predict_ends_with_1_where_a_scan_was_refused_and_names_all_that_was(tmp_path, monkeypatch, reasons, code):
    refused = pd.DataFrame([["a", "a", reason, "why"] for reason in reasons], columns=REFUSED)
    monkeypatch.setattr(predict_command, "predict", lambda options: (pd.DataFrame({"volume": ["b"]}), refused))
    arguments = ["--model", "best.pth", "--input", str(tmp_path), "--output", str(tmp_path / "scores.tsv")]
    assert predict_command.main(arguments) == code
    assert len(read_table(tmp_path / "scores.refused.tsv", REFUSED)) == len(reasons)
