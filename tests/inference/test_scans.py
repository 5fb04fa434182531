"""Finding new scans: every one of them, under a name of its own."""

import numpy as np
import pytest

from hounsfield.cohort.files import files_digest
from hounsfield.errors import TableError
from hounsfield.inference.scans import REFUSED, SCAN_COLUMNS, find_scans, write_scan_shards
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
    rows, refused = find_scans([folder, folder / "chest.npz", tmp_path / "absent.npz"], "auto", tmp_path / "cache.tsv")
    assert list(rows) == SCAN_COLUMNS
    assert rows["volume"].tolist() == sorted(["chest", str(folder / "p1/ct.npz"), str(folder / "p2/ct.npz"), "slices"])
    assert rows["identity"].nunique() == 4 and set(rows["hu"]) == {"auto"}
    assert refused[REFUSED[:3]].to_numpy().tolist() == [["absent", str(tmp_path / "absent.npz"), "missing"]]


def test_a_folder_without_scans_is_refused(tmp_path):
    with pytest.raises(TableError, match="no scan in it"):
        find_scans([tmp_path], "auto", tmp_path / "cache.tsv")


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
        scans, _ = find_scans([folder], "auto", tmp_path / "cache.tsv")
        paths = [tmp_path / f"shards/{number:02d}.tsv" for number in range(4)]
        write_scan_shards(scans, paths)
        return [path.read_text() for path in paths], scans, paths

    before, scans, paths = shards()
    assert sum(len(read_table(path, ["volume"])) for path in paths) == len(scans) == 4
    np.savez(folder / "more.npz", ct=np.zeros((2, 2, 2)))
    after, _, _ = shards()
    assert sum(a != b for a, b in zip(before, after, strict=True)) == 1
