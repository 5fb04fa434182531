"""`hounsfield doctor`: each fault of a machine is told, with what to do."""

import io
import json
import subprocess
from collections import namedtuple

import pytest

from hounsfield.cli import doctor_command
from hounsfield.cli.main import main

Usage = namedtuple("Usage", "total used free")


@pytest.fixture(autouse=True)
def neither_driver_nor_cluster(monkeypatch):
    """Whatever is half installed on the machine that tests is no finding here."""
    which = doctor_command.shutil.which
    monkeypatch.setattr(
        doctor_command.shutil, "which", lambda name: None if name in ("nvidia-smi", "sbatch") else which(name)
    )


def findings(capsys, *arguments):
    code = main(["doctor", "--json", *arguments])
    return code, {entry["name"]: entry for entry in map(json.loads, capsys.readouterr().out.splitlines())}


def test_this_machine_can_run_the_workflow(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, found = findings(capsys, "--store", str(tmp_path / "not" / "there" / "yet"))
    assert code == 0
    assert found["packages"]["state"] == found["store: locks"]["state"] == "fine"
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


def test_a_package_of_another_version_or_missing_is_named(monkeypatch, capsys):
    needed = ["pandas>=1", "torch<1", "no-such-package"]
    monkeypatch.setattr(doctor_command, "requires", lambda name: needed)
    code, found = findings(capsys)
    assert code == 1
    assert "torch is" in found["packages"]["seen"] and "no-such-package is missing" in found["packages"]["seen"]
    assert "pandas" not in found["packages"]["seen"]


def test_a_driver_that_fails_is_broken_and_none_is_no_fault(monkeypatch, capsys):
    monkeypatch.setattr(doctor_command.shutil, "which", lambda name: f"/bin/{name}" if name == "nvidia-smi" else None)
    failed = subprocess.CompletedProcess([], 9, "", "NVIDIA-SMI has failed\nto communicate")
    monkeypatch.setattr(doctor_command.subprocess, "run", lambda *_, **__: failed)
    code, found = findings(capsys)
    assert code == 1 and "has failed to communicate" in found["GPU"]["seen"]
    monkeypatch.setattr(doctor_command.shutil, "which", lambda name: None)
    code, found = findings(capsys)
    assert code == 0 and found["GPU"]["state"] == "look"


def test_locks_that_hold_nobody_off_are_found(monkeypatch, capsys):
    monkeypatch.setattr(doctor_command, "try_lock", lambda path: io.StringIO())
    code, found = findings(capsys)
    assert code == 1 and "hold nobody off" in found["results: locks"]["seen"]


@pytest.mark.parametrize(("free", "state"), [(10, "look"), (1000, "fine")])
def test_little_room_is_said(free, state, monkeypatch, capsys):
    monkeypatch.setattr(doctor_command.shutil, "disk_usage", lambda _: Usage(2000 * 2**30, 0, free * 2**30))
    code, found = findings(capsys)
    assert code == 0 and found["results: disk"]["state"] == state


def test_few_open_files_are_said(monkeypatch, capsys):
    monkeypatch.setattr(doctor_command.resource, "getrlimit", lambda _: (256, 4096))
    code, found = findings(capsys)
    assert code == 0 and "ulimit -n 4096" in found["open files"]["advice"]
