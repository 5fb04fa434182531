"""The loop: it learns, resumes in the same bits, and stops at what is not finite."""

import multiprocessing
import shutil
import signal
import time

import numpy as np
import pandas as pd
import pytest
import torch

from hounsfield.errors import TrainingError
from hounsfield.tables import read_table
from hounsfield.training import trainer
from hounsfield.training.checkpoints import load_checkpoint, load_model
from hounsfield.training.interruption import Interrupted
from hounsfield.training.trainer import train_model

TIMED = ["samples_per_second", "data_wait_share", "peak_memory_mb", "peak_gpu_memory_mb", "seconds"]


def outcome(directory):
    best, final = (load_checkpoint(directory / name) for name in ("best.pth", "final.pth"))
    return best, final, read_table(directory / "history.tsv").drop(columns=TIMED)


def assert_same(one, other):
    for left, right in zip(outcome(one)[:2], outcome(other)[:2], strict=True):
        assert left["epoch"] == right["epoch"]
        for name, tensor in left["weights"].items():
            assert torch.equal(tensor, right["weights"][name]), name
    pd.testing.assert_frame_equal(outcome(one)[2], outcome(other)[2], check_exact=True)


def interrupt_at(monkeypatch, step):
    """Raise SIGINT after optimizer step `step` of the run."""
    pause = trainer._pause

    def interrupting(state, training, started):
        if state.step == step:
            signal.raise_signal(signal.SIGINT)
        pause(state, training, started)

    monkeypatch.setattr(trainer, "_pause", interrupting)


def test_learns_the_small_cohort(make_job):
    still = {"flip": 0, "translation": 0, "rotation": 0}
    early = {"metric": "loss", "patience": 30}
    job = make_job({"epochs": 30, "learning_rate": 0.001, "augmentation": still, "early_stopping": early})
    train_model(job)
    history = read_table(job.directory / "history.tsv")
    assert history["train_loss"].iloc[-1] < 0.5 * history["train_loss"].iloc[0]
    assert history["val_roc_auc_macro"].max() > 0.9
    assert list(history["epoch"]) == list(range(30))
    model, content = load_model(job.directory / "best.pth")
    assert content["pathologies"] == ["bright", "low"]
    assert content["epoch"] == int(history["val_loss"].idxmin())
    assert model(torch.zeros(1, 1, 16, 16, 16)).shape == (1, 2)


@pytest.mark.parametrize("step", [1, 2, 3, 5, 6, 9])
def test_interrupted_and_continued_ends_in_the_same_bits(make_job, monkeypatch, step):
    settings = {"epochs": 3, "accumulate": 2, "ema": 0.9}
    options = {"patch_size": 8, "num_layers": 2, "dropout_rate": 0.1}
    block = {"architecture": "vit3d", "variant": "tiny", "options": options}
    whole, broken = (make_job(settings, directory=name, block=block) for name in ("whole", "broken"))
    train_model(whole)
    with monkeypatch.context() as patch:
        interrupt_at(patch, step)
        with pytest.raises(Interrupted):
            train_model(broken)
    assert not (broken.directory / "best.pth").exists()
    torch.rand(100)  # nothing may depend on the state of this process
    train_model(broken)
    assert_same(whole.directory, broken.directory)


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
def test_killed_at_random_moments_ends_in_the_same_bits(make_job, threads):
    """SIGKILL, ten times for each number of reading threads, at moments spread over the whole run."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["hounsfield.training.trainer"])

    def start(job):
        process = processes.Process(target=train_model, args=(job,))
        process.start()
        return process

    # A checkpoint after each step, and steps enough to be killed between.
    settings = {"epochs": 3, "batch_size": 2, "checkpoint_minutes": 1e-9}
    whole, broken = (make_job(settings, name, threads=threads) for name in ("whole", "broken"))
    started = time.monotonic()
    start(whole).join()
    seconds = time.monotonic() - started
    random, kills = np.random.default_rng(threads), 0
    while kills < 10:
        shutil.rmtree(broken.directory, ignore_errors=True)
        process, patience = start(broken), 0.7 * seconds
        while process.exitcode != 0:
            process.join(random.uniform(0, patience))
            patience *= 1.2  # on a machine that has become slower an attempt must still get anywhere
            if process.exitcode is None:
                process.kill()
                process.join()
            if process.exitcode != 0:
                assert process.exitcode == -signal.SIGKILL
                kills += 1
                assert kills < 60, "an attempt hangs or gets nowhere"
                process = start(broken)
        assert_same(whole.directory, broken.directory)


def test_a_finished_run_continued_changes_nothing_and_more_epochs_go_on(make_job, monkeypatch):
    train_model(make_job())
    first = outcome(make_job().directory)
    monkeypatch.setattr(trainer, "train_epoch", None)
    train_model(make_job())
    pd.testing.assert_frame_equal(first[2], outcome(make_job().directory)[2])
    monkeypatch.undo()
    train_model(make_job({"epochs": 3}))
    history = outcome(make_job().directory)[2]
    pd.testing.assert_frame_equal(history.iloc[:2], first[2])
    assert len(history) == 3


@pytest.mark.parametrize("changes", [{"training": {"learning_rate": 0.01}}, {"seed": 1}, {"code": "edited"}])
def test_another_fingerprint_starts_anew(make_job, changes, caplog):
    train_model(make_job())
    caplog.set_level("WARNING")
    train_model(make_job(**changes))
    assert "starts anew" in caplog.text
    assert list(outcome(make_job().directory)[2]["epoch"]) == [0, 1]


def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_taken(make_job, caplog):
    job = make_job()
    train_model(job)
    expected = outcome(job.directory)
    damaged = job.directory / "last.pth"
    damaged.write_bytes(damaged.read_bytes()[:1000])
    caplog.set_level("INFO")
    train_model(job)
    assert (job.directory / "damaged-last.pth").stat().st_size == 1000
    assert "going on from epoch 2" in caplog.text
    pd.testing.assert_frame_equal(expected[2], outcome(job.directory)[2], check_exact=True)


def test_a_loss_that_is_not_finite_names_the_volumes_and_keeps_the_last_checkpoint(make_job, monkeypatch):
    job = make_job({"epochs": 3})
    original = trainer.augmented_input

    def poisoned(*batch):
        calls.append(1)
        return original(*batch) * (float("nan") if len(calls) == 8 else 1)

    calls = []
    monkeypatch.setattr(trainer, "augmented_input", poisoned)
    with pytest.raises(TrainingError, match=r"train_\d+_a_1.*learning_rate"):
        train_model(job)
    last = load_checkpoint(job.directory / "last.pth")
    assert last["progress"]["epoch"] == 1
    assert all(torch.isfinite(tensor).all() for tensor in last["weights"].values() if tensor.is_floating_point())


def test_accumulated_windows_weigh_the_last_one_rightly(make_job):
    """14 volumes in batches of 1, five to a step, are steps of 5, 5 and 4 volumes: those of batches of 5.

    Compared by the way that the weights have gone: where a gradient is all but zero, AdamW makes its sign a whole step.
    """
    off = {"flip": 0, "rotation": 0, "translation": 0, "scale": [1, 1], "noise": 0, "contrast": [1, 1], "shift": 0}
    common = {"augmentation": off, "clip_norm": None}  # clipping would hide a wrong weight
    single = make_job({"batch_size": 1, "accumulate": 5} | common, directory="single")
    joint = make_job({"batch_size": 5} | common, directory="joint")
    start = trainer.prepare(joint)[1].weights()
    for job in (single, joint):
        train_model(job)
    one, other = outcome(single.directory), outcome(joint.directory)
    np.testing.assert_allclose(one[2]["train_loss"], other[2]["train_loss"], rtol=1e-4)
    apart, gone = (
        sum((one[1]["weights"][name] - weights[name]).square().sum().sqrt() for name in start)
        for weights in (other[1]["weights"], start)
    )
    assert apart < 1e-3 * gone


def test_early_stopping_ends_training(make_job):
    job = make_job(
        {"epochs": 9, "learning_rate": 1e-12, "early_stopping": {"metric": "loss", "patience": 2, "min_delta": 1}}
    )
    train_model(job)
    assert len(outcome(job.directory)[2]) == 3
