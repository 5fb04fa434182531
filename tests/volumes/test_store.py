"""The store: what goes in comes out, and what is damaged is refused."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hounsfield.errors import StoreError
from hounsfield.volumes.settings import PreprocessingSettings
from hounsfield.volumes.store import VolumeStore, voxel_digest


@settings(max_examples=30, deadline=None)
@given(hnp.arrays(st.sampled_from([np.int16, np.uint8]), st.tuples(*[st.integers(1, 70)] * 3), fill=st.just(7)))
def test_what_goes_in_comes_out(tmp_path_factory, voxels):
    store = VolumeStore(tmp_path_factory.mktemp("store"))
    digest = store.write("ab12", voxels, {"hu_source": "header"})
    stored = store.open("ab12")
    np.testing.assert_array_equal(stored.voxels, voxels)
    assert stored.voxels.dtype == voxels.dtype
    assert stored.facts["digest"] == digest == voxel_digest(voxels)
    assert stored.facts["hu_source"] == "header"


@pytest.mark.parametrize("place", [0, 10, 20, -100, -1])
def test_a_flipped_bit_is_found(tmp_path, place):
    store = VolumeStore(tmp_path)
    store.write("ef56", np.arange(4096, dtype=np.int16).reshape(16, 16, 16))
    content = bytearray(store.path("ef56").read_bytes())
    content[place] ^= 4
    store.path("ef56").write_bytes(content)
    with pytest.raises(StoreError, match="damaged"):
        store.read("ef56")


@pytest.mark.parametrize("length", [0, 5, 20, 200])
def test_a_cut_file_is_found(tmp_path, length):
    store = VolumeStore(tmp_path)
    store.write("ef56", np.arange(4096, dtype=np.int16).reshape(16, 16, 16))
    store.path("ef56").write_bytes(store.path("ef56").read_bytes()[:length])
    for look in (store.verify, store.facts, store.read):
        with pytest.raises(StoreError, match="damaged"):
            look("ef56")


def test_a_missing_volume_is_named(tmp_path):
    with pytest.raises(StoreError, match=r"0000.*missing"):
        VolumeStore(tmp_path).read("0000")


def test_the_key_knows_values_not_spelling(tmp_path):
    store = VolumeStore(tmp_path)
    spelled = [
        PreprocessingSettings.from_config({"spacing": [5, 5, 5], "shape": [8, 8, 8]}),
        PreprocessingSettings.from_config({"shape": [8, 8, 8], "spacing": [5.0, 5.0, 5.0], "antialias": False}),
    ]
    keys = {store.key("content", {"hu": "auto"}, each.canonical()) for each in spelled}
    other = PreprocessingSettings.from_config({"spacing": [5, 5, 4], "shape": [8, 8, 8]})
    assert len(keys) == 1
    assert store.key("content", {"hu": "auto"}, other.canonical()) not in keys
    assert store.key("other", {"hu": "auto"}, spelled[0].canonical()) not in keys
    assert store.key("content", {"hu": "table"}, spelled[0].canonical()) not in keys


WRITER = """
import sys, numpy as np
from hounsfield.volumes.store import VolumeStore
store = VolumeStore(sys.argv[1])
for index in range(40):
    store.write(f"{index % 4:04d}", np.full((20, 20, 20), index % 4, np.int16))
"""


def test_several_writers_at_once_leave_whole_volumes_only(tmp_path):
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)]) for _ in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    store = VolumeStore(tmp_path)
    assert list(store) == ["0000", "0001", "0002", "0003"]
    for index, key in enumerate(store):
        assert (store.read(key) == index).all()
    assert not list(tmp_path.rglob(".partial-*"))


def test_a_killed_writer_leaves_no_volume(tmp_path, monkeypatch):
    store = VolumeStore(tmp_path)
    monkeypatch.setattr("hounsfield.files.os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(OSError, match="No space left"):
        store.write("abcd", np.zeros((4, 4, 4), np.int16))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_volumes_that_changed_places_are_found(tmp_path):
    store = VolumeStore(tmp_path)
    for index, key in enumerate(["ab01", "ab02"]):
        store.write(key, np.full((4, 4, 4), index, np.int16))
    store.path("ab01").rename(tmp_path / "kept")
    store.path("ab02").rename(store.path("ab01"))
    (tmp_path / "kept").rename(store.path("ab02"))
    for look in (store.verify, store.facts, store.read):
        with pytest.raises(StoreError, match=r"ab01.*holds the volume ab02"):
            look("ab01")
