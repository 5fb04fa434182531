"""A volume is what its files hold, wherever they lie and whatever they are called."""

import gzip
import os
import shutil
import threading
import time

import nibabel
import numpy as np
import pandas as pd
import pytest
import SimpleITK
import xxhash

from hounsfield.errors import HounsfieldError
from hounsfield.tables import write_table
from hounsfield.volumes.preprocess import preprocess_shard
from hounsfield.volumes.remake import RemakingStore
from hounsfield.volumes.settings import PreprocessingSettings
from hounsfield.volumes.sources import SourceIndex, look_at
from hounsfield.volumes.store import VolumeStore
from hounsfield.volumes.volume import VolumeError

SETTINGS = PreprocessingSettings.from_config({"spacing": [2, 2, 2], "shape": [16, 16, 16]})
LONG_AGO = (1.7e9, 1.7e9)


def save(path, value, header=b""):
    """A scan of 16^3 voxels of 2 mm whose middle has `value` HU."""
    hu = np.full((16, 16, 16), -1000, np.int16)
    hu[4:12, 4:12, 4:12] = value
    image = nibabel.Nifti1Image(hu, np.diag([-2.0, -2.0, 2.0, 1.0]))
    image.header["descrip"] = header
    path.write_bytes(image.to_bytes())
    os.utime(path, LONG_AGO)
    return path


def rows_of(*paths):
    nan = dict.fromkeys(["slope", "intercept", "spacing_z", "spacing_y", "spacing_x"], np.nan)
    known = [{"volume": path.name, "path": str(path), "stamp": look_at(path).stamp, "hu": "header"} for path in paths]
    return pd.DataFrame([row | nan for row in known])


def stored(store, *paths):
    return preprocess_shard(rows_of(*paths), store, SETTINGS, workers=2)


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz", "scan.mha", "scan.nrrd", "scan.npz"])
def test_the_digest_is_that_of_all_bytes_wherever_they_lie(tmp_path, name):
    path = tmp_path / name
    content = bytearray(os.urandom(3 * 2**20 + 7))
    path.write_bytes(content)
    first = look_at(path).digest()
    assert first == xxhash.xxh3_128_hexdigest(bytes(content))
    (tmp_path / "elsewhere").mkdir()
    assert look_at(shutil.copy(path, tmp_path / "elsewhere/other.nii")).digest() == first
    content[len(content) // 2] ^= 1  # far from both ends
    path.write_bytes(content)
    assert look_at(path).digest() != first


def test_uncompressed_files_named_gz_are_not_taken_for_each_other(tmp_path):
    store = VolumeStore(tmp_path / "store")
    table = stored(store, *(save(tmp_path / f"{value}.nii.gz", value) for value in (40, 41, 42)))
    assert table["key"].nunique() == 3
    assert [int(store.read(key)[8, 8, 8]) for key in table["key"]] == [40, 41, 42]


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
def test_a_file_corrected_in_place_gives_its_new_voxels(tmp_path, name):
    store, path = VolumeStore(tmp_path / "store"), tmp_path / name
    (before,) = stored(store, save(path, 40))["key"]
    save(path, 90)
    os.utime(path, (1.7e9 + 1, 1.7e9 + 1))  # of the same size
    (after,) = stored(store, path)["key"]
    assert (store.read(before)[8, 8, 8], store.read(after)[8, 8, 8]) == (40, 90)


def test_a_change_within_the_clocks_resolution_is_seen(tmp_path):
    index, path = SourceIndex(tmp_path / "index"), save(tmp_path / "scan.nii", 40)
    now = time.time()
    os.utime(path, (now, now))
    first = index.digest(look_at(path))
    content = path.read_bytes()
    with open(path, "r+b") as file:  # in place, so with its inode
        file.write(content[:-1] + b"\7")
    os.utime(path, (now, now))
    assert index.digest(look_at(path)) != first


def test_what_is_known_is_not_read_again(tmp_path, monkeypatch):
    index, path = SourceIndex(tmp_path / "index"), save(tmp_path / "scan.nii", 40)
    digest = index.digest(look_at(path))
    monkeypatch.setattr("hounsfield.volumes.sources._file_digest", lambda _: pytest.fail("it was read"))
    assert index.digest(look_at(path)) == digest == SourceIndex(tmp_path / "index").known(path, look_at(path).stamp)


def test_another_file_of_the_same_size_and_time_is_another(tmp_path):
    path = save(tmp_path / "scan.nii", 40)
    index = SourceIndex(tmp_path / "index")
    first = index.digest(look_at(path))
    os.replace(save(tmp_path / "new.nii", 90), path)
    assert index.digest(look_at(path)) != first


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"digest": 3}', b"\xff\xfe"])
def test_a_damaged_entry_is_as_good_as_none(tmp_path, damage):
    index, path = SourceIndex(tmp_path / "index"), save(tmp_path / "scan.nii", 40)
    digest = index.digest(look_at(path))
    (entry,) = (tmp_path / "index").glob("??/*.json")
    entry.write_bytes(damage)
    assert index.known(path, look_at(path).stamp) is None and index.digest(look_at(path)) == digest


def test_a_folder_of_slices_is_known_by_what_they_hold(tmp_path):
    folder = tmp_path / "scan"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.dcm").write_bytes(bytes([number]) * 500)
    before = look_at(folder).digest()
    shutil.copytree(folder, tmp_path / "anonymised")
    (tmp_path / "anonymised/0.dcm").rename(tmp_path / "anonymised/first.dcm")
    assert look_at(tmp_path / "anonymised").digest() == before
    (folder / "1.dcm").write_bytes(bytes([9]) * 500)
    os.utime(folder / "1.dcm", LONG_AGO)
    assert look_at(folder).digest() != before
    shutil.copytree(tmp_path / "anonymised", tmp_path / "more")
    (tmp_path / "more/below").mkdir()
    (tmp_path / "more/below/3.dcm").write_bytes(b"the series goes on")
    assert look_at(tmp_path / "more").digest() != before


@pytest.mark.parametrize("names", [("a.mhd", "a.raw"), ("a.hdr", "a.img"), ("a.nhdr", "a.raw"), ("a.img", "a.hdr")])
def test_a_header_and_its_voxels_are_one_volume(tmp_path, names):
    header = names[0].replace(".img", ".hdr")
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.zeros((4, 4, 4), np.int16)), tmp_path / header)
    before = look_at(tmp_path / names[0]).stamp, look_at(tmp_path / names[0]).digest()
    other = bytearray((tmp_path / names[1]).read_bytes())
    other[-1] ^= 1
    (tmp_path / names[1]).write_bytes(other)
    after = look_at(tmp_path / names[0])
    assert before[0] != after.stamp and before[1] != after.digest()


HEADER = "ObjectType = Image\nNDims = 3\nDimSize = 4 4 4\nElementSpacing = 1 1 1\nElementType = MET_SHORT\n"


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        ("../secret.raw", "elsewhere"),
        ("/etc/passwd", "elsewhere"),
        ("sub/scan.raw", "elsewhere"),
        ("absent.raw", "missing_data"),
        ("pipe.raw", "not_a_file"),
        ("LIST", "several_files"),
        ("scan%03d.raw 1 4 1", "several_files"),
    ],
)
def test_a_header_opens_nothing_but_the_file_beside_it(tmp_path, named, reason):
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.raw").write_bytes(bytes(128))
    os.mkfifo(tmp_path / "in/pipe.raw")
    (tmp_path / "in/scan.mhd").write_text(f"{HEADER}ElementDataFile = {named}\n")
    with pytest.raises(VolumeError) as error:
        look_at(tmp_path / "in/scan.mhd")
    assert error.value.reason == reason


def test_a_header_that_names_two_files_is_refused(tmp_path):
    lines = ["NRRD0004", "type: short", "dimension: 3", "sizes: 4 4 4", "encoding: raw", "data file: a.raw"]
    (tmp_path / "scan.nhdr").write_text("\n".join([*lines, "datafile: ../b.raw", "", ""]))
    with pytest.raises(VolumeError, match="two files"):
        look_at(tmp_path / "scan.nhdr")


def test_a_volume_that_changes_while_it_is_read_is_named_and_not_stored(tmp_path, monkeypatch):
    path, store = save(tmp_path / "scan.nii", 40), VolumeStore(tmp_path / "store")
    from hounsfield.volumes import preprocess

    read = preprocess.read_volume

    def read_and_change(*arguments, **settings):
        volume = read(*arguments, **settings)
        save(path, 90)
        os.utime(path, (1.7e9 + 5, 1.7e9 + 5))
        return volume

    monkeypatch.setattr(preprocess, "read_volume", read_and_change)
    with pytest.raises(HounsfieldError, match=r"scan\.nii.*written to while it was read"):
        stored(store, path)
    assert not list(store)


def test_a_volume_that_changed_after_it_was_listed_is_named(tmp_path, caplog):
    path, store = save(tmp_path / "scan.nii", 40), VolumeStore(tmp_path / "store")
    rows = rows_of(path)
    save(path, 90)
    os.utime(path, (1.7e9 + 5, 1.7e9 + 5))
    (key,) = preprocess_shard(rows, store, SETTINGS, 1)["key"]
    assert store.read(key)[8, 8, 8] == 90
    assert "scan.nii: changed since it was listed" in caplog.text


def test_a_copy_without_times_is_stored_once(tmp_path):
    store = VolumeStore(tmp_path / "store")
    first = stored(store, *(save(tmp_path / f"{n}.nii", n) for n in range(3)))
    (tmp_path / "copy").mkdir()
    copies = [shutil.copyfile(tmp_path / f"{n}.nii", tmp_path / f"copy/{n}.nii") for n in range(3)]
    times = {key: store.path(key).stat().st_mtime_ns for key in store}
    pd.testing.assert_frame_equal(stored(store, *copies), first)
    assert {key: store.path(key).stat().st_mtime_ns for key in store} == times


def test_gzip_and_plain_hold_other_bytes_and_the_same_voxels(tmp_path):
    plain = save(tmp_path / "scan.nii", 40)
    packed = tmp_path / "packed.nii.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    table = stored(VolumeStore(tmp_path / "store"), plain, packed)
    assert table["key"].nunique() == 2 and table["digest"].nunique() == 1


def test_a_store_of_an_earlier_version_is_said_to_be_old(tmp_path, caplog):
    store, path = VolumeStore(tmp_path / "store"), save(tmp_path / "scan.nii", 40)
    store.write("ab12", np.zeros((16, 16, 16), np.int16))
    shutil.rmtree(store.sources.root)  # as earlier versions, which kept no such folder
    stored(store, path)
    assert "written by an earlier version" in caplog.text
    caplog.clear()
    stored(store, path)
    assert "earlier version" not in caplog.text


def test_a_store_that_cannot_be_written_still_knows_its_volumes(tmp_path, monkeypatch):
    store, path = VolumeStore(tmp_path / "store"), save(tmp_path / "scan.nii", 40)
    made = stored(store, path)
    shutil.rmtree(store.sources.root)

    def refuse(*_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("hounsfield.volumes.sources.atomic_write", refuse)
    pd.testing.assert_frame_equal(stored(store, path), made)


@pytest.fixture
def cohort(tmp_path):
    """(store, table of keys, folder of volumes): two stored volumes, and the tables that tell of them."""
    volumes = [save(tmp_path / f"{n}.nii", n) for n in (40, 50)]
    tables, rows = tmp_path / "cohort", rows_of(*volumes)
    store = RemakingStore(tmp_path / "store", tables, SETTINGS)
    made = preprocess_shard(rows, store, SETTINGS, 1)
    write_table(rows, tables / "shards/00.tsv")
    write_table(made, tables / "stored/00.tsv")
    return store, made, tmp_path


def test_a_missing_or_damaged_volume_is_made_again(cohort, caplog):
    store, made, _ = cohort
    missing, damaged = made["key"]
    voxels = {key: store.read(key) for key in made["key"]}
    content = bytearray(store.path(damaged).read_bytes())
    content[-1] ^= 1
    store.path(missing).unlink()
    store.path(damaged).write_bytes(content)
    readers = [threading.Thread(target=store.read, args=(key,)) for key in (missing, damaged) * 4]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    for key, expected in voxels.items():
        np.testing.assert_array_equal(store.read(key), expected)
    assert "40.nii" in caplog.text and "50.nii" in caplog.text


def test_a_volume_whose_source_is_gone_or_another_is_not_made_up(cohort):
    store, made, folder = cohort
    for key in made["key"]:
        store.path(key).unlink()
    (folder / "40.nii").unlink()
    os.replace(save(folder / "other.nii", 99), folder / "50.nii")
    with pytest.raises(HounsfieldError, match=r"missing, and its source cannot be read \(.*40\.nii"):
        store.read(made["key"][0])
    with pytest.raises(HounsfieldError, match=r"missing, and its source .*50\.nii has changed"):
        store.size(made["key"][1])
