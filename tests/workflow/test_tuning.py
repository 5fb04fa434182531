"""The search, by the real workflow: beside a finished run, killed once, with two workers."""

import os
import signal
import time

import pytest
import yaml

from hounsfield.tables import read_table

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

RUN = ("--resources", "gpu=2")


def trial_histories(project):
    return list(project.results("tuning/vit/studies").glob("*/trials/*/history.tsv"))


def results_of_all(project):
    folders = ("models", "predictions", "metrics", "comparison", "report")
    paths = [path for folder in folders for path in project.results(folder).rglob("*") if path.is_file()]
    return {path: path.stat().st_mtime_ns for path in paths}


def test_a_search_that_was_killed_goes_on_and_leaves_the_run_alone(copy):
    del copy.config["models"]["resnet"]  # the report of the finished run stays as it is
    before = results_of_all(copy)
    copy.config["tune"] = {"trials": 4, "workers": 2, "rungs": [1, 2], "reduction": 2}
    process = copy.start("tuning", *RUN)
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None and not trial_histories(copy):
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=60)
    assert trial_histories(copy) and not copy.results("tuning/vit/index.html").exists()

    copy.run("tuning", *RUN)
    trials = read_table(copy.results("tuning/vit/trials.tsv"), text=["state", "message"])
    assert list(trials["number"]) == [0, 1, 2, 3] and set(trials["state"]) <= {"complete", "pruned"}
    workers = [read_table(copy.results(f"tuning/vit/workers/{worker}.tsv")) for worker in (0, 1)]
    # What was done before the kill is done once: no leg from rung to rung is in both tables, or in one twice.
    legs = [(row["number"], row["epochs"]) for worker in workers for row in worker.to_dict("records")]
    assert len(legs) == len(set(legs)) and {number for number, _ in legs} <= set(range(4))
    assert "tiny: search for vit" in copy.results("tuning/vit/index.html").read_text()
    assert results_of_all(copy) == before
    assert copy.would_run("tuning") == set()
    assert not any("Train" in job for job in copy.would_run())

    copy.config["models"] |= yaml.safe_load(copy.results("tuning/vit/best.yaml").read_text())
    assert "Train vit, seed 0, for tiny" in copy.would_run()


def test_a_space_that_the_schema_forbids_stops_before_any_work(new_project, tiny_config):
    space = {"training.learning_rate": {"low": -1, "high": 1}}
    output = new_project(tiny_config | {"tune": {"space": space}}).run("-n", "tuning", check=False)
    assert "config: tune.space: models.resnet.training.learning_rate: -1 is less than" in output
