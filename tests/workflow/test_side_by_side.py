"""Several runs at once on one store or in one folder, and a clock that was set back."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
import yaml

from hounsfield.tables import read_table

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

DATASET = "results/tiny/cohort/dataset.tsv"


def cohort_of(finished, store):
    """The finished run's cohort as a user's own, with another store."""
    config = yaml.safe_load(yaml.safe_dump(finished.config)) | {"store": str(store)}
    del config["demo"]
    demo = finished.results("demo")
    tables = {name: [str(demo / f"{name}.csv")] for name in ("labels", "metadata")}
    config["cohort"] |= {"volumes": str(demo / "volumes")} | tables
    return config


def test_two_cohorts_fill_one_store_at_once(finished, new_project, tmp_path, tmp_path_factory):
    config = cohort_of(finished, tmp_path / "store")
    other = yaml.safe_load(yaml.safe_dump(config))
    other["cohort"]["pathologies"] = ["Cardiomegaly"]
    other["preprocessing"]["spacing"] = [14, 14, 14]
    both = [new_project(config), type(finished)(tmp_path_factory.mktemp("other"), other)]
    same = type(finished)(tmp_path_factory.mktemp("same"), config)
    processes = [project.start(DATASET) for project in (*both, same)]
    assert [process.wait(timeout=300) for process in processes] == [0, 0, 0]
    first, second, third = (read_table(project.folder / DATASET, ["volume", "key"]) for project in (*both, same))
    assert first.equals(third)
    assert len(second) == len(first) and not set(first["key"]) & set(second["key"])
    told = subprocess.run(
        [sys.executable, "-m", "hounsfield", "store", "verify", config["store"]],
        capture_output=True,
        text=True,
    )
    assert told.returncode == 0, told.stderr
    assert re.search(rf"\b{2 * len(first)}\b", told.stdout + told.stderr)


def test_the_same_cohort_twice_at_once_ends_as_once(finished, new_project, tiny_config):
    project = new_project(tiny_config | {"models": {"vit": tiny_config["models"]["vit"]}})
    processes = [project.start(), project.start()]
    for process in processes:
        process.wait(timeout=600)
    project.run()  # where one met what the other had not finished, the same command goes on
    alone = {path: content for path, content in project.contents().items() if "comparison" not in path}
    assert "metrics/vit/seed0/overall.tsv" in alone
    assert alone == {path: finished.contents()[path] for path in alone}


def test_another_configuration_of_the_same_name_waits_its_turn(finished, copy):
    """It stops before it touches anything; what it would have made is there once the first has ended."""
    copy.config["models"] = {"vit": copy.config["models"]["vit"] | {"training": {"epochs": 400}}}
    shutil.rmtree(copy.folder / "results/.runs")  # what the finished run claimed
    first = copy.start("results/tiny/models/vit/seed0/best.pth")
    deadline = time.monotonic() + 120
    while not list((copy.folder / "results/.runs").glob("*.run")) and time.monotonic() < deadline:
        time.sleep(0.05)
    copy.config["seeds"] = [1]
    told = copy.run(check=False)
    assert "'tiny' is at work by another configuration" in told and "Traceback" not in told
    assert not copy.results("models/vit/seed1").exists() and not copy.results("logs/train/vit/seed1.log").exists()
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    copy.config["models"]["vit"].pop("training")
    copy.config["seeds"] = [0]
    copy.run("results/tiny/metrics/vit/seed0/overall.tsv")
    table = "metrics/vit/seed0/overall.tsv"
    assert copy.results(table).read_bytes() == finished.results(table).read_bytes()


def test_a_clock_set_back_is_named_and_its_files_can_be_brought_back(finished, copy):
    """The files of the run so far come from a day that is yet to be."""
    tomorrow = time.time() + 86400
    for path in sorted(copy.folder.rglob("*")):
        os.utime(path, (tomorrow, tomorrow))
    for path in ("metrics/vit/seed0/overall.tsv", "report/index.html"):
        copy.results(path).unlink()
    told = copy.run(check=False)
    assert "has older modification time" in told and "predictions/vit/seed0" in told
    subprocess.run('find . -newermt now -exec touch -d "$(date -Is)" {} +', shell=True, cwd=copy.folder, check=True)
    copy.run()
    assert copy.contents() == finished.contents()
    assert "Nothing to be done" in copy.run("-n")
