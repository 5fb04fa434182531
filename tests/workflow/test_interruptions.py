"""Interrupted, and continued with the same command."""

import os
import signal
import time

import pandas as pd
import pytest
import torch

from hounsfield.errors import CheckpointError
from hounsfield.tables import read_table
from hounsfield.training.checkpoints import load_checkpoint

pytestmark = pytest.mark.workflow

TARGET = "results/tiny/metrics/vit/seed0/overall.tsv"
TIMED = ["samples_per_second", "data_wait_share", "peak_memory_mb", "peak_gpu_memory_mb", "seconds"]


def longer(project):
    project.config["models"]["vit"]["training"] = {"epochs": 12, "early_stopping": {"patience": 99}}
    return project


def wait_for_epoch(project, epoch, process):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            last = load_checkpoint(project.results("models/vit/seed0/last.pth"))
            if last["progress"]["epoch"] >= epoch:
                return
        except CheckpointError:
            pass  # not there yet
        time.sleep(0.02)
    pytest.fail("training reached no checkpoint")


@pytest.mark.parametrize(
    "number", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGKILL], ids=["Ctrl-C", "SIGKILL"]
)
def test_the_same_command_goes_on_and_ends_with_the_same_metrics(copy, number):
    longer(copy)
    for name in ("last.pth", "previous.pth"):
        copy.results(f"models/vit/seed0/{name}").unlink()
    process = copy.start(TARGET)
    wait_for_epoch(copy, 4, process)
    os.killpg(process.pid, number)
    process.wait(timeout=60)
    assert not copy.results("models/vit/seed0/best.pth").exists()
    output = copy.run(TARGET)
    assert "going on from epoch" in output
    interrupted = _outcome(copy)

    for name in ("last.pth", "previous.pth"):
        copy.results(f"models/vit/seed0/{name}").unlink()
    assert "going on" not in copy.run(TARGET, "--forcerun", "train")
    whole = _outcome(copy)
    pd.testing.assert_frame_equal(interrupted[0], whole[0], check_exact=True)
    pd.testing.assert_frame_equal(interrupted[1], whole[1], check_exact=True)
    for name, tensor in interrupted[2]["weights"].items():
        assert torch.equal(tensor, whole[2]["weights"][name]), name


def _outcome(project):
    history = read_table(project.results("models/vit/seed0/history.tsv")).drop(columns=TIMED)
    metrics = read_table(project.results("metrics/vit/seed0/overall.tsv"), ["metric"])
    return metrics, history, load_checkpoint(project.results("models/vit/seed0/final.pth"))
