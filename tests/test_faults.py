"""Full disks, read-only disks, flipped bits and cut files: found, named, nothing half-written, and gone on from."""

import errno
import os
import re
import subprocess

import numpy as np
import pandas as pd
import pytest
import torch

from hounsfield.errors import CheckpointError, HounsfieldError, StoreError, TableError
from hounsfield.job import run_job
from hounsfield.tables import read_table, write_table
from hounsfield.training.checkpoints import load_checkpoint, save_checkpoint, save_last
from hounsfield.volumes.preprocess import preprocess_shard
from hounsfield.volumes.settings import PreprocessingSettings
from hounsfield.volumes.sources import look_at
from hounsfield.volumes.store import VolumeStore

MIB = 2**20
SETTINGS = PreprocessingSettings((8.0, 8.0, 8.0), (8, 8, 8))


@pytest.fixture
def mounted(tmp_path):
    """A function that mounts a small file system of its own; the test is left out where that is not allowed."""
    made = []

    def mount(size=MIB):
        folder = tmp_path / f"disk{len(made)}"
        folder.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True, text=True
        )
        if done.returncode:
            pytest.skip(f"a disk cannot be mounted here ({done.stderr.strip()}); run as root")
        made.append(folder)
        return folder

    yield mount
    for folder in made:
        subprocess.run(["umount", "--lazy", folder], check=True)


def noise(bytes_):
    return np.random.default_rng(0).integers(-1000, 1000, bytes_ // 2, dtype=np.int16).reshape(-1, 4, 8)


def as_table(values):
    return pd.DataFrame({"a": values.ravel()[: values.size // 4].astype(str)})


WRITERS = {
    "volume": lambda folder, values: VolumeStore(folder).write("ab" * 16, values),
    "checkpoint": lambda folder, values: save_checkpoint({"weights": torch.from_numpy(values)}, folder / "last.pth"),
    "last": lambda folder, values: save_last({"weights": torch.from_numpy(values)}, folder),
    "table": lambda folder, values: write_table(as_table(values), folder / "table.tsv"),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_full_disk_is_named_and_leaves_nothing(mounted, kind):
    disk = mounted()
    with pytest.raises(OSError) as caught:
        WRITERS[kind](disk, noise(2 * MIB))
    assert caught.value.errno == errno.ENOSPC
    assert str(caught.value.filename).startswith(str(disk))
    assert [path for path in disk.rglob("*") if path.is_file()] == []
    WRITERS[kind](disk, noise(MIB // 4))
    assert [path for path in disk.rglob("*") if path.is_file()]


def test_the_earlier_checkpoint_outlives_a_full_disk(mounted):
    disk = mounted()
    save_last({"weights": torch.zeros(1000)}, disk)
    with pytest.raises(OSError):
        save_last({"weights": torch.from_numpy(noise(2 * MIB))}, disk)
    assert torch.equal(load_checkpoint(disk / "last.pth")["weights"], torch.zeros(1000))


def shard(folder, count):
    nan = dict.fromkeys(("slope", "intercept", "spacing_z", "spacing_y", "spacing_x"), np.nan)
    rows = []
    for index in range(count):
        path = folder / f"scan{index}.npz"
        hu = np.full((16, 16, 16), -1000, np.int16)
        hu[4:12, 4:12, 4:12] = 30 + index + np.arange(8)
        np.savez(path, ct=hu)
        os.utime(path, (1.7e9, 1.7e9))
        row = {"volume": path.name, "path": str(path), "stamp": look_at(path).stamp, "hu": "header"}
        rows.append(row | nan | {"spacing_z": 4.0, "spacing_y": 4.0, "spacing_x": 4.0})
    return pd.DataFrame(rows)


def test_a_store_without_room_goes_on_once_there_is(mounted, tmp_path):
    disk = mounted(size=8 * 4096)  # pages: of twelve volumes, not all
    rows, store = shard(tmp_path, 12), VolumeStore(disk)
    with pytest.raises(OSError, match="No space left"):
        preprocess_shard(rows, store, SETTINGS, workers=2)
    kept = set(store)
    assert kept and all(store.verify(key) for key in kept)
    subprocess.run(["mount", "-o", f"remount,size={MIB}", disk], check=True)
    assert set(preprocess_shard(rows, store, SETTINGS, workers=2)["key"]) > kept


def test_a_read_only_store_serves_and_refuses_to_be_written(mounted, tmp_path):
    disk = mounted()
    rows, store = shard(tmp_path, 3), VolumeStore(disk)
    made = preprocess_shard(rows[:2], store, SETTINGS, workers=1)
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    pd.testing.assert_frame_equal(preprocess_shard(rows[:2], store, SETTINGS, workers=1), made)
    with pytest.raises(OSError) as caught:
        preprocess_shard(rows, store, SETTINGS, workers=1)
    assert caught.value.errno == errno.EROFS


@pytest.mark.parametrize(("number", "told"), [("ENOSPC", "make room"), ("EROFS", "mount"), ("EACCES", "permission")])
def test_a_job_says_what_to_do_about_a_disk(tmp_path, capsys, number, told):
    class Snakemake:
        rule, wildcards, log = "preprocess", {}, [str(tmp_path / "job.log")]

    def main(_):
        code = getattr(errno, number)
        raise OSError(code, os.strerror(code), "/store/ab/ab.ct")

    with pytest.raises(SystemExit):
        run_job(main, Snakemake)
    line = capsys.readouterr().err.splitlines()[-1]
    assert "/store/ab/ab.ct" in line and told in line


def test_a_folder_that_vanished_is_no_cohort_without_volumes(mounted, tmp_path):
    disk = mounted()
    rows, store = shard(disk, 3), VolumeStore(tmp_path / "store")
    preprocess_shard(rows[:1], store, SETTINGS, workers=1)
    subprocess.run(["umount", disk], check=True)
    with pytest.raises(HounsfieldError, match=r"2 volumes .* cannot be read now \(scan1.npz: .*same command"):
        preprocess_shard(rows, store, SETTINGS, workers=1)
    assert len(set(store)) == 1
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", disk], check=True)
    shard(disk, 3)
    assert preprocess_shard(rows, store, SETTINGS, workers=1)["reason"].isna().all()


def test_a_checkpoint_is_whole_or_refused(tmp_path):
    path, random = tmp_path / "last.pth", np.random.default_rng(0)
    weights = {"a": torch.from_numpy(noise(32 * 1024)), "b": torch.arange(7.0)}
    save_checkpoint({"weights": weights, "epoch": 3}, path)
    whole, refused = path.read_bytes(), 0
    for _ in range(400):
        content = bytearray(whole)
        content[random.integers(len(content))] ^= 1 << random.integers(8)
        path.write_bytes(content)
        try:
            loaded = load_checkpoint(path)
        except CheckpointError as error:
            assert "last.pth" in str(error) and "\n" not in str(error)
            refused += 1
        else:  # a bit of the archive's padding
            assert loaded["epoch"] == 3 and all(torch.equal(loaded["weights"][name], weights[name]) for name in weights)
    assert refused > 350
    for length in random.integers(0, len(whole), 50):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError):
            load_checkpoint(path)


def test_a_table_cut_within_a_line_is_refused(tmp_path):
    path = tmp_path / "dataset.tsv"
    write_table(pd.DataFrame({"volume": ["a", "b"], "label": [1, 0]}), path)
    whole = path.read_bytes()
    lines = [match.end() for match in re.finditer(b"\n", whole)]
    for length in set(range(len(whole))) - set(lines):
        path.write_bytes(whole[:length])
        with pytest.raises(TableError, match="have it remade"):
            read_table(path, ["volume"])


def test_two_volumes_that_changed_places_are_refused(tmp_path):
    store = VolumeStore(tmp_path)
    keys = ["a" * 32, "b" * 32]
    for key in keys:
        store.write(key, noise(4096))
    first, second = map(store.path, keys)
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    for key, other in zip(keys, reversed(keys), strict=True):
        with pytest.raises(StoreError, match=f"holds the volume {other}"):
            store.read(key)
