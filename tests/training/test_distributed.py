"""Several processes train as one does, and end together."""

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import torch

from hounsfield.errors import ConfigError, TrainingError
from hounsfield.tables import read_table, write_table
from hounsfield.training.checkpoints import load_checkpoint
from hounsfield.training.distributed import World
from hounsfield.training.interruption import Interrupted
from hounsfield.training.launch import launch
from hounsfield.training.settings import TrainingSettings

# A transformer: on a CPU, batch norms see their process's share of the batch only.
VIT = {"architecture": "vit3d", "variant": "tiny", "options": {"patch_size": 8, "num_layers": 2, "dropout_rate": 0.1}}


@pytest.fixture
def make_spec(small_cohort, tmp_path):
    """A function that makes a job's plain values in a directory, from changes of the training block."""

    def make(directory, **training):
        dataset, store = small_cohort
        block = {"epochs": 2, "batch_size": 4, "accumulate": 2, "learning_rate": 0.003, "amp": "off"}
        write_table(dataset, tmp_path / "dataset.tsv")
        return {
            "directory": str(tmp_path / directory),
            "dataset": str(tmp_path / "dataset.tsv"),
            "pathologies": ["bright", "low"],
            "store": str(store.root),
            "preprocessing": {"spacing": [5, 5, 5], "shape": [16, 16, 16]},
            "training": block | training,
            "block": VIT,
            "seed": 0,
            "code": "",
            "threads": 2,
            "tracking": {"mode": "disabled"},
        }

    return make


def history(spec):
    timed = ["samples_per_second", "data_wait_share", "peak_memory_mb", "peak_gpu_memory_mb", "seconds"]
    return read_table(f"{spec['directory']}/history.tsv").drop(columns=timed)


def run(spec, processes):
    log = f"{spec['directory']}.log"
    launch(spec, processes, log)
    return Path(log).read_text() if processes > 1 else ""


def once_logged(log, text, act):
    """Call `act` in another thread when `text` is in the log."""

    def watch():
        while not (os.path.exists(log) and text in Path(log).read_text()):
            time.sleep(0.01)
        act()

    threading.Thread(target=watch, daemon=True).start()


def workers():
    found = psutil.Process().children(recursive=True)
    return [process for process in found if "hounsfield.training.launch" in " ".join(process.cmdline())]


@pytest.mark.parametrize(
    "changes",
    [{}, pytest.param({"freeze": ["patch_embedding", "blocks.0"], "layer_decay": 0.5}, marks=pytest.mark.slow)],
    ids=["whole", "fine-tuned"],
)
def test_two_processes_give_the_losses_of_one(make_spec, changes):
    one, two = make_spec("one", **changes), make_spec("two", gpu=2, **changes)
    for spec in (one, two):
        spec["block"] = VIT | {"options": VIT["options"] | {"dropout_rate": 0}}
    run(one, 1)
    log = run(two, 2)
    pd.testing.assert_frame_equal(history(one), history(two), rtol=1e-4, atol=1e-5)
    for name, tensor in load_checkpoint(f"{one['directory']}/final.pth")["weights"].items():
        other = load_checkpoint(f"{two['directory']}/final.pth")["weights"][name]
        torch.testing.assert_close(tensor, other, rtol=1e-3, atol=1e-4)
    # Only the first process writes.
    assert log.count("best epoch") == 1
    assert not workers()


@pytest.mark.slow
def test_interrupted_processes_go_on_to_the_same_bits(make_spec):
    whole, broken = make_spec("whole", gpu=2, epochs=3), make_spec("broken", gpu=2, epochs=3)
    run(whole, 2)
    once_logged(f"{broken['directory']}.log", "epoch 1 of", lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Interrupted, match="143"):
        run(broken, 2)
    assert not os.path.exists(f"{broken['directory']}/best.pth")
    assert not workers()
    assert "going on from epoch" in run(broken, 2)
    pd.testing.assert_frame_equal(history(whole), history(broken), check_exact=True)


def test_a_killed_process_ends_the_job(make_spec):
    spec = make_spec("run", gpu=2, epochs=500)
    once_logged(f"{spec['directory']}.log", "epoch 1 of", lambda: workers()[1].kill())
    with pytest.raises(TrainingError, match=r"process \d was killed by SIGKILL.*memory.*same command goes on"):
        run(spec, 2)
    assert not workers()


def test_an_error_in_a_process_is_told(make_spec):
    spec = make_spec("run", gpu=2)
    dataset = read_table(spec["dataset"])
    dataset.loc[0, "key"] = "0" * 32
    write_table(dataset, spec["dataset"])
    with pytest.raises(TrainingError, match=r"process \d exited with 1"):
        run(spec, 2)
    assert "the stored volume is missing" in Path(f"{spec['directory']}.log").read_text()


def test_a_batch_must_feed_every_process():
    with pytest.raises(ConfigError, match=r"training.batch_size: 2 .* gpu: 3"):
        TrainingSettings.from_config({"batch_size": 2, "gpu": 3})


def test_several_nodes_need_slurm(make_spec, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(ConfigError, match=r"training.nodes: 2 machines need Slurm"):
        run(make_spec("run", nodes=2), 1)


def test_shares_cover_each_row_once():
    rows = np.arange(11)
    shares = [World(rank, 4).share(rows) for rank in range(4)]
    assert sorted(np.concatenate(shares)) == list(rows)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
