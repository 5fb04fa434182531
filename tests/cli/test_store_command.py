"""`hounsfield store`: what is there, what is damaged, what nobody uses."""

import os
import time

import nibabel
import numpy as np
import pandas as pd
import pytest
import yaml

from hounsfield.cli.main import main
from hounsfield.tables import write_table
from hounsfield.volumes.preprocess import preprocess_shard
from hounsfield.volumes.settings import PreprocessingSettings
from hounsfield.volumes.sources import look_at
from hounsfield.volumes.store import VolumeStore

SETTINGS = {"coarse": {"spacing": [4, 4, 4], "shape": [8, 8, 8]}, "fine": {"spacing": [2, 2, 2], "shape": [16, 16, 16]}}


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Two configurations on one store, three volumes each, the run `coarse` stored and `fine` stored too."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    rows = []
    for index in range(3):
        hu = np.full((16, 16, 16), -1000, np.int16)
        hu[4:12, 4:12, 4:12] = random.integers(-100, 100, (8, 8, 8))
        path = tmp_path / f"{index}.nii.gz"
        nibabel.save(nibabel.Nifti1Image(hu, np.diag([-2.0, -2.0, 2.0, 1.0])), path)
        os.utime(path, (1.7e9, 1.7e9))
        row = {"volume": str(index), "path": str(path), "stamp": look_at(path).stamp, "hu": "header"}
        rows.append(row | dict.fromkeys(["slope", "intercept", "spacing_z", "spacing_y", "spacing_x"], np.nan))
    store = VolumeStore(tmp_path / "store")
    stored = {}
    for name, block in SETTINGS.items():
        stored[name] = preprocess_shard(pd.DataFrame(rows), store, PreprocessingSettings.from_config(block), 1)
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({"name": name, "preprocessing": block}))
        write_table(pd.DataFrame(rows), tmp_path / "results" / name / "cohort/shards/00.tsv")
    return store, stored


def test_list_tells_settings_apart(runs, capsys):
    store, _ = runs
    assert main(["store", "list", str(store.root)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["3", "3", "6"]
    assert '"spacing": [2.0, 2.0, 2.0]' in "".join(lines) and '"spacing": [4.0, 4.0, 4.0]' in "".join(lines)


def test_verify_names_what_is_damaged(runs, capsys):
    store, stored = runs
    assert main(["store", "verify", str(store.root)]) == 0
    assert "6 volumes verified, 0 damaged" in capsys.readouterr().out
    flipped, cut = stored["fine"]["key"][0], stored["coarse"]["key"][1]
    content = bytearray(store.path(flipped).read_bytes())
    content[-1] ^= 1
    store.path(flipped).write_bytes(content)
    store.path(cut).write_bytes(store.path(cut).read_bytes()[:-5])
    assert main(["store", "verify", str(store.root)]) == 1
    output = capsys.readouterr()
    assert "6 volumes verified, 2 damaged" in output.out
    assert flipped in output.err and cut in output.err and len(output.err.splitlines()) == 2


def test_prune_drops_what_no_given_configuration_uses_and_only_when_told(runs, capsys):
    store, stored = runs
    abandoned, recent = store.path("abcd").parent / ".partial-1", store.path("abcd").parent / ".partial-2"
    abandoned.parent.mkdir(exist_ok=True)
    for path in (abandoned, recent):
        path.write_bytes(b"half a volume")
    os.utime(abandoned, (time.time() - 1e6,) * 2)
    assert main(["store", "prune", str(store.root), "--config", "coarse.yaml", "fine.yaml"]) == 0
    assert capsys.readouterr().out.startswith("1 files")
    assert main(["store", "prune", str(store.root), "--config", "coarse.yaml"]) == 0
    assert "4 files" in capsys.readouterr().out and len(list(store)) == 6
    assert main(["store", "prune", str(store.root), "--config", "coarse.yaml", "--yes"]) == 0
    assert set(store) == set(stored["coarse"]["key"])
    assert recent.exists() and not abandoned.exists()


@pytest.mark.parametrize("content", ["name: nobody\npreprocessing: {spacing: [1, 1, 1], shape: [2, 2, 2]}", "", "]["])
def test_prune_removes_nothing_when_it_cannot_know_what_is_used(runs, capsys, tmp_path, content):
    store, _ = runs
    (tmp_path / "other.yaml").write_text(content)
    command = ["store", "prune", str(store.root), "--config", "fine.yaml", "other.yaml", "--yes"]
    assert main(command) == 1
    assert ("run nobody" if "nobody" in content else "other.yaml") in capsys.readouterr().err
    assert len(list(store)) == 6


def test_a_missing_store_and_an_unknown_command_are_one_line(tmp_path, capsys):
    assert main(["store", "list", str(tmp_path / "nowhere")]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert main(["frobnicate"]) == 2
    assert "usage" in capsys.readouterr().err
    assert main(["--help"]) == 0


def test_the_forecast_counts_what_is_not_yet_stored(runs, tmp_path, caplog):
    store, _ = runs
    rows = pd.read_csv("results/coarse/cohort/shards/00.tsv", sep="\t", dtype={"volume": str})
    caplog.set_level("INFO")
    preprocess_shard(rows, store, PreprocessingSettings.from_config(SETTINGS["coarse"]), 1)
    assert "0 volumes to store" in caplog.text
    preprocess_shard(rows, store, PreprocessingSettings((3, 3, 3), (8, 8, 8)), 1, shards=7)
    assert "3 volumes to store: about 0.00 GB" in caplog.text and "7 shards" in caplog.text


def test_the_forecast_warns_of_a_disk_that_is_too_small(runs, monkeypatch, caplog):
    store, _ = runs
    rows = pd.read_csv("results/coarse/cohort/shards/00.tsv", sep="\t", dtype={"volume": str})
    monkeypatch.setattr("hounsfield.volumes.forecast.shutil.disk_usage", lambda _: Disk())
    preprocess_shard(rows, store, PreprocessingSettings((3, 3, 3), (8, 8, 8)), 1)
    assert "too little room" in caplog.text


class Disk:
    free = 100


def test_prune_keeps_what_new_scans_and_the_planners_overlay_use(runs, tmp_path, capsys):
    store, stored = runs
    os.rename(tmp_path / "results/fine", tmp_path / "results/coarse/inference")  # as the tables of new scans
    os.rename(tmp_path / "results/coarse/inference/cohort", tmp_path / "results/coarse/inference/monday")
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump({"preprocessing": SETTINGS["fine"]}))
    command = ["store", "prune", str(store.root), "--config"]
    assert main([*command, "coarse.yaml", "plan.yaml"]) == 0
    assert capsys.readouterr().out.startswith("0 files")
    assert main([*command, "plan.yaml", "coarse.yaml"]) == 1
    assert "plan.yaml: is no configuration of a run (it has no name)" in capsys.readouterr().err
    write_table(stored["fine"], tmp_path / "results/coarse/inference/monday/stored/00.tsv")
    assert main([*command, "coarse.yaml", "--yes"]) == 0
    assert set(store) == set(stored["coarse"]["key"]) | set(stored["fine"]["key"])
