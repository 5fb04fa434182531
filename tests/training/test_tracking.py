"""W&B mirrors the history, and can never end a run."""

import json
import signal
import struct

import pytest
import wandb
from wandb.proto import wandb_internal_pb2

from hounsfield.tables import read_table
from hounsfield.training import trainer
from hounsfield.training.interruption import Interrupted
from hounsfield.training.tracking import Tracker, usable_mode
from hounsfield.training.trainer import train_model


def records(content, block=32768):
    """The records of a .wandb file: a header of 7 bytes, then LevelDB's log format (parts of 1 whole, 2-4 split)."""
    place, parts = 7, b""
    while place + 7 <= len(content):
        if block - place % block < 7:
            place += block - place % block
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        parts += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            yield parts
            parts = b""


def logged_rows(directory):
    """What an offline run wrote, read back from its file."""
    rows = []
    for path in directory.rglob("*.wandb"):
        for data in records(path.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            if record.WhichOneof("record_type") == "history":
                items = record.history.item
                rows.append({(item.key or item.nested_key[0]): json.loads(item.value_json) for item in items})
    return rows


def test_an_offline_run_mirrors_the_history(make_job):
    job = make_job(tracking={"mode": "offline"})
    train_model(job)
    wandb.teardown()  # as the end of the process does: until then the file may not be whole
    history = read_table(job.directory / "history.tsv")
    rows = logged_rows(job.directory)
    assert [row["epoch"] for row in rows] == list(history["epoch"])
    for name in ("train_loss", "val_loss", "learning_rate", "val_roc_auc_macro", "val_roc_auc bright"):
        assert [row[name] for row in rows] == pytest.approx(list(history[name])), name


def test_the_network_goes_with_the_run_if_asked(make_job):
    for artifact in (False, True):
        job = make_job(directory=f"run-{artifact}", tracking={"mode": "offline", "artifact": artifact})
        train_model(job)
        wandb.teardown()  # as the end of the process does
        files = [path.read_bytes() for path in job.directory.rglob("*.wandb")]
        assert (b"best.pth" in b"".join(files)) == artifact


def test_an_interrupted_run_goes_on_under_its_id(make_job, monkeypatch):
    job = make_job(tracking={"mode": "offline"})
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(trainer, "log_epoch", lambda row, epochs: signal.raise_signal(signal.SIGTERM))
        train_model(job)
    wandb.teardown()  # as the end of the process does
    train_model(job)
    wandb.teardown()
    files = list(job.directory.rglob("*.wandb"))
    assert len(files) == 2
    assert len({path.stem for path in files}) == 1
    assert sorted(row["epoch"] for row in logged_rows(job.directory)) == [0, 1]


def test_files_are_the_same_whichever_the_mode(make_job):
    columns = ["epoch", "step", "train_loss", "val_loss", "learning_rate", "val_roc_auc_macro"]
    tables = []
    for mode in ("offline", "disabled"):
        job = make_job(directory=mode, tracking={"mode": mode})
        train_model(job)
        tables.append(read_table(job.directory / "history.tsv")[columns])
    assert tables[0].equals(tables[1])


def test_nothing_that_wandb_does_ends_the_run(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("wandb.init", lambda **_: (_ for _ in ()).throw(RuntimeError("service is down")))
    tracker = Tracker("offline", tmp_path, "run", {})
    tracker.log({"epoch": 0}, 0)
    tracker.finish(tmp_path / "best.pth")
    assert "service is down" in caplog.text and "goes on without it" in caplog.text


def test_online_without_a_key_is_kept_offline(tmp_path, monkeypatch, caplog):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    assert usable_mode("online") == "offline"
    assert "wandb sync" in caplog.text
