"""The loop: it learns, resumes in the same bits, and stops at what is not finite."""

import multiprocessing
import shutil
import signal
import time

import numpy as np
import pandas as pd
import pytest
import torch

from hounsfield.errors import CheckpointError, TableError, TrainingError
from hounsfield.tables import read_table
from hounsfield.training import trainer
from hounsfield.training.checkpoints import load_checkpoint, load_model
from hounsfield.training.distributed import World
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


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_finished_network_is_that_of_its_configuration(make_job, epochs):
    """Fewer or more epochs than the earlier run's give what a fresh run gives."""
    train_model(make_job({"epochs": 2}))
    train_model(make_job({"epochs": epochs}))
    train_model(make_job({"epochs": epochs}, directory="fresh"))
    assert_same(make_job().directory, make_job(directory="fresh").directory)


def test_what_decides_no_result_retrains_nothing(make_job, monkeypatch):
    train_model(make_job({"batch_size": 4}))
    monkeypatch.setattr(trainer, "train_epoch", None)
    train_model(make_job({"batch_size": 4, "cache_gb": 0, "checkpoint_minutes": 3, "gpu": 2}, threads=2))


def test_continuing_goes_on_from_a_finished_training_and_says_so(make_job):
    first = make_job({"epochs": 2, "ema": 0.9}, directory="first")
    train_model(first)
    last = first.directory / "last.pth"
    job = make_job({"epochs": 2, "ema": 0.9, "weight_decay": 0.3, "continue_from": str(last)}, directory="second")
    _, state = trainer.prepare(job)
    earlier = load_checkpoint(last)
    for name, tensor in earlier["weights"].items():
        assert torch.equal(state.model.state_dict()[name], tensor)
    moments = [entry["exp_avg"] for entry in earlier["optimizer"]["state"].values()]
    assert all(map(torch.equal, moments, (entry["exp_avg"] for entry in state.optimizer.state.values())))
    assert (state.epoch, state.step) == (0, 0)
    assert {group["weight_decay"] for group in state.optimizer.param_groups} == {0.0, 0.3}
    train_model(job)
    history = read_table(job.directory / "history.tsv")
    assert list(history["epoch"]) == [0, 1]
    assert set(history["continued_from"]) == {f"{last}, trained for 2 epochs"}
    assert "continued_from" not in read_table(first.directory / "history.tsv")
    again = outcome(job.directory)
    train_model(job)
    pd.testing.assert_frame_equal(again[2], outcome(job.directory)[2])


def test_what_a_start_holds_decides_and_not_where_it_lies(make_job, tmp_path):
    first = make_job(directory="first")
    train_model(first)
    last, copied = first.directory / "last.pth", tmp_path / "copied.pth"
    shutil.copy(last, copied)
    jobs = [make_job({"continue_from": str(path)}) for path in (last, copied)]
    assert jobs[0].fingerprint == jobs[1].fingerprint != make_job().fingerprint
    copied.write_bytes(copied.read_bytes() + b" ")
    assert make_job({"continue_from": str(copied)}).fingerprint != jobs[0].fingerprint
    block = {"architecture": "vit3d", "variant": "tiny", "options": {"patch_size": 8, "num_layers": 2}}
    starts = [make_job(block=block | {"weights": str(path)}).fingerprint for path in (last, copied)]
    assert len({*starts, make_job(block=block).fingerprint}) == 3


def test_what_cannot_be_continued_is_one_line(make_job):
    first = make_job(directory="first")
    train_model(first)
    other = {"architecture": "vit3d", "variant": "tiny", "options": {"patch_size": 8, "num_layers": 3}}
    with pytest.raises(CheckpointError, match=r"best\.pth: holds no training to continue"):
        train_model(make_job({"continue_from": str(first.directory / "best.pth")}))
    with pytest.raises(CheckpointError, match="of another network or optimizer"):
        train_model(make_job({"continue_from": str(first.directory / "last.pth")}, block=other))


def test_fewer_volumes_than_processes_are_named(make_job):
    with pytest.raises(TableError, match="the val split has 7 volumes for 8 processes; lower"):
        make_job().batches("val", World(rank=0, size=8))


def test_the_cache_is_shared_by_the_bytes_of_the_splits(make_job, monkeypatch):
    given = {}
    monkeypatch.setattr(
        "hounsfield.training.data.stored_dataset", lambda rows, store, cache_gb: given.update({len(rows): cache_gb})
    )
    job = make_job({"cache_gb": 3.0})
    job.batches("train"), job.batches("val")
    assert given[14] == pytest.approx(2.0, rel=0.02) and given[7] == pytest.approx(1.0, rel=0.02)


def test_a_finished_run_continued_changes_nothing(make_job, monkeypatch):
    train_model(make_job())
    first = outcome(make_job().directory)
    monkeypatch.setattr(trainer, "train_epoch", None)
    train_model(make_job())
    pd.testing.assert_frame_equal(first[2], outcome(make_job().directory)[2])


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
