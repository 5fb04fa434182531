"""`hounsfield status` on logs as Snakemake and trainings write them."""

import json
import os
import time

import pytest

from hounsfield.cli.main import main
from hounsfield.monitoring.run_log import read_run_log
from hounsfield.monitoring.trainings import curve, read_training

HEAD = """Building DAG of jobs...
Job stats:
job           count
----------  -------
preprocess        4
train             2
all               1
total             7

[Thu Nov 26 15:32:00 2026]
Job 1: Put the volumes of shard 00 into the store
Reason: Missing output files: results/mine/cohort/stored/00.tsv
[Thu Nov 26 15:32:10 2026]
Finished jobid: 1 (Rule: preprocess)
1 of 7 steps (14%) done
[Thu Nov 26 15:32:10 2026]
Job 2: Put the volumes of shard 01 into the store
[Thu Nov 26 15:32:30 2026]
Finished jobid: 2 (Rule: preprocess)
2 of 7 steps (29%) done
[Thu Nov 26 15:32:30 2026]
Job 5: Train resnet, seed 0, for mine
"""
FAILED = """[Thu Nov 26 15:33:00 2026]
Error in rule train:
    message: Train resnet, seed 0, for mine
    jobid: 5
Complete log(s): x
"""


def epoch_line(at, epoch, loss, auroc, rate):
    told = (
        f"epoch {epoch} of 9: loss {loss}, validation loss {loss}, macro AUROC {auroc}; {rate} volumes/s, 3 % waiting"
    )
    return f"2026-11-26 {at} INFO {told} for data\n"


TRAINING = (
    "2026-11-26 15:30:00 INFO train: started (run=mine)\n"
    + epoch_line("15:30:05", 1, 9, 0.9999, 9)
    + "2026-11-26 15:32:00 INFO train: started (run=mine)\n"
    + epoch_line("15:32:10", 1, 0.9, "nan", 2.0)
    + epoch_line("15:32:20", 2, 0.8, 0.61, 2.0)
    + epoch_line("15:32:30", 3, 0.7, 0.58, 2.5)
)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A folder with a run that trains; a function that adds to Snakemake's log."""
    monkeypatch.chdir(tmp_path)
    log = tmp_path / ".snakemake/log/2026.snakemake.log"
    training = tmp_path / "results/mine/logs/train/resnet/seed0.log"
    for path, text in ((log, HEAD), (training, TRAINING)):
        path.parent.mkdir(parents=True)
        path.write_text(text)
    return lambda more: log.write_text(log.read_text() + more)


def test_jobs_and_time_left_are_counted():
    log = read_run_log(HEAD.splitlines(), "x.log")
    assert (log.done, log.total) == (2, 7)
    assert list(log.running.values()) == ["Train resnet, seed 0, for mine"]
    assert dict(log.left) == {"preprocess": 2, "train": 2, "all": 1}
    # Two more shards of 15 s, one after another as so far; no training has ended yet.
    assert log.seconds_left == (30.0, 2)


def test_work_side_by_side_takes_less_time():
    second = HEAD.replace("[Thu Nov 26 15:32:10 2026]\nJob 2", "[Thu Nov 26 15:32:00 2026]\nJob 2")
    seconds, _ = read_run_log(second.splitlines(), "x.log").seconds_left
    assert seconds == pytest.approx(2 * 20 / (40 / 30))


def test_a_training_is_told_by_its_last_attempt(run, tmp_path):
    training = read_training(tmp_path / "results/mine/logs/train/resnet/seed0.log", "resnet, seed 0")
    assert [epoch.number for epoch in training.epochs] == [1, 2, 3]
    assert training.best.number == 2 and training.seconds_left == pytest.approx(60)


def test_a_curve_spans_its_values():
    assert curve([0.5, float("nan"), 0.75, 1.0]) == "▁·▅█"
    assert curve([0.5, 0.5]) == "▁▁" and curve([float("nan")]) == "·"
    assert len(curve(range(100))) == 40


def test_it_is_printed(run, capsys):
    assert main(["status"]) == 0
    shown = capsys.readouterr().out
    assert "mine: 2 of 7 jobs done, 1 running, 4 to come; about 30 s more, and 2 jobs of kinds not measured" in shown
    assert "resnet, seed 0: epoch 3 of 9, best macro AUROC 0.610 in epoch 2, 2.5 volumes/s, 3 % waiting" in shown


def test_a_failure_shows_the_end_of_its_log(run, capsys, tmp_path):
    run(FAILED)
    log = tmp_path / "results/mine/logs/train/resnet/seed0.log"
    log.write_text(TRAINING + "2026-11-26 15:33:00 ERROR the loss is not finite at the volumes a, b\n")
    assert main(["status", "mine", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["run"]["failed"] == ["train"] and "not finite" in told["trainings"][0]["problem"][0]
    assert main(["status", "mine"]) == 1
    assert "the same command goes on" in capsys.readouterr().out


def test_following_ends_with_the_run(run, capsys):
    run("Complete log(s): x\n")
    assert main(["status", "--follow", "--every", "0.01"]) == 0


def test_a_run_that_was_killed_is_silent(run, capsys, tmp_path):
    long_ago = time.time() - 7200
    for path in tmp_path.rglob("*.log"):
        os.utime(path, (long_ago, long_ago))
    assert main(["status"]) == 0
    assert "nothing was written for 2.0 h" in capsys.readouterr().out


def test_another_run_of_the_folder_is_not_taken_for_it(run, capsys, tmp_path):
    (tmp_path / "results/other").mkdir()
    assert main(["status", "other"]) == 0
    assert "no log of Snakemake tells of it" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["nothing"]])
def test_where_there_is_no_run_it_is_said(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["status", *arguments]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
