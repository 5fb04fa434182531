"""Every key of the training block changes what it says: none is silently ignored."""

import dataclasses
from dataclasses import replace

import numpy as np
import pytest
import torch

from hounsfield.config import NEUTRAL
from hounsfield.tables import read_table
from hounsfield.training import trainer
from hounsfield.training.checkpoints import load_checkpoint
from hounsfield.training.precision import Precision
from hounsfield.training.predict import predict_split
from hounsfield.training.settings import (
    AugmentationSettings,
    EarlyStoppingSettings,
    LossSettings,
    TrainingSettings,
)
from hounsfield.training.trainer import train_model
from hounsfield.volumes.store import VolumeStore

FOCAL = {"loss": {"kind": "focal"}}
ASYMMETRIC = {"loss": {"kind": "asymmetric"}}
# key, another value, and the settings under which it matters.
CHANGES_WEIGHTS = [
    ("batch_size", 4, {}),
    ("accumulate", 2, {}),
    ("learning_rate", 0.001, {}),
    ("weight_decay", 0.5, {}),
    ("warmup_epochs", 0.2, {}),
    ("clip_norm", 0.001, {}),
    ("ema", 0.5, {}),
    ("freeze", ["blocks.0"], {}),
    ("layer_decay", 0.5, {}),
    ("sampling", "balanced", {}),
    ("windows", [[-900, 0]], {}),
    ("augmentation.flip", 0.0, {}),
    ("augmentation.rotation", 0.0, {}),
    ("augmentation.translation", 0.0, {}),
    ("augmentation.scale", [1, 1], {}),
    ("augmentation.noise", 0.0, {}),
    ("augmentation.blur", 5.0, {}),
    ("augmentation.contrast", [1, 1], {}),
    ("augmentation.shift", 0.0, {}),
    ("loss.kind", "focal", {}),
    ("loss.max_pos_weight", 0.5, {}),
    ("loss.gamma", 1.0, FOCAL),
    ("loss.alpha", 0.2, FOCAL),
    ("loss.gamma_positive", 1.0, ASYMMETRIC),
    ("loss.clip", 0.2, ASYMMETRIC),
]
SHOWN_BELOW = {
    *("epochs", "early_stopping.metric", "early_stopping.patience", "early_stopping.min_delta"),
    *("amp", "compile", "channels_last", "checkpoint_minutes", "cache_gb", "test_time_flip"),
    *("gpu", "nodes"),  # in test_distributed.py and workflow/test_slurm.py
    "gradient_checkpointing",  # in test_activation_checkpointing.py
    "continue_from",  # in test_trainer.py
}


def with_key(settings, key, value):
    block, _, name = key.rpartition(".")
    return settings | ({block: settings.get(block, {}) | {name: value}} if block else {name: value})


def weights(job):
    train_model(job)
    return load_checkpoint(job.directory / "final.pth")["weights"]


def test_each_key_is_of_the_fingerprint_unless_it_decides_no_result(make_job):
    neutral = {key.removeprefix("training.") for key in NEUTRAL if key.startswith("training.")}
    assert neutral <= set(TrainingSettings.__dataclass_fields__)
    blocks = {"augmentation": AugmentationSettings, "loss": LossSettings, "early_stopping": EarlyStoppingSettings}
    usual = make_job({"batch_size": 4})
    for field in dataclasses.fields(TrainingSettings):
        if field.name == "continue_from":
            continue  # what the file holds decides: in test_trainer.py
        values = dataclasses.asdict(getattr(usual.training, field.name)) if field.name in blocks else {None: None}
        for name in values:
            before = getattr(usual.training, field.name)
            after = dataclasses.replace(before, **{name: "other"}) if name else "other"
            changed = dataclasses.replace(usual, training=dataclasses.replace(usual.training, **{field.name: after}))
            key = f"{field.name}.{name}" if name else field.name
            assert (changed.fingerprint == usual.fingerprint) == (key in neutral), key


def test_no_key_is_without_a_test():
    nested = {"augmentation": AugmentationSettings, "loss": LossSettings, "early_stopping": EarlyStoppingSettings}
    keys = {field.name for field in dataclasses.fields(TrainingSettings)} - set(nested)
    keys |= {f"{block}.{field.name}" for block, kind in nested.items() for field in dataclasses.fields(kind)}
    assert keys == {key for key, _, _ in CHANGES_WEIGHTS} | SHOWN_BELOW


@pytest.mark.parametrize("key, value, settings", CHANGES_WEIGHTS)
def test_another_value_makes_other_weights(make_job, key, value, settings):
    one = weights(make_job(settings, "one"))
    other = weights(make_job(with_key(settings, key, value), "other"))
    assert any(not torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("metric", ["roc_auc_macro", "average_precision_macro"])
@pytest.mark.parametrize("min_delta, epochs", [(0.0, 6), (0.5, 3)])
def test_training_stops_by_the_metric_named(make_job, monkeypatch, metric, min_delta, epochs):
    values = {"val_roc_auc_macro": 0.5, "val_average_precision_macro": 0.5}

    def improving(*_):
        values[f"val_{metric}"] += 0.05
        return dict(values)

    monkeypatch.setattr(trainer, "validation_metrics", improving)
    job = make_job({"epochs": 6, "early_stopping": {"patience": 2, "metric": metric, "min_delta": min_delta}})
    train_model(job)
    assert len(read_table(job.directory / "history.tsv")) == epochs


@pytest.mark.parametrize("patience", [1, 3])
def test_patience_is_counted_in_epochs(make_job, monkeypatch, patience):
    constant = {"val_roc_auc_macro": 0.5, "val_average_precision_macro": 0.5}
    monkeypatch.setattr(trainer, "validation_metrics", lambda *_: dict(constant))
    job = make_job({"epochs": 6, "early_stopping": {"patience": patience}})
    train_model(job)
    assert len(read_table(job.directory / "history.tsv")) == 1 + patience


@pytest.mark.parametrize("minutes, saved", [(0.0, 12), (60.0, 2)])
def test_checkpoints_are_saved_between_steps_too(make_job, monkeypatch, minutes, saved):
    states = []
    monkeypatch.setattr(trainer, "save_last", lambda state, directory: states.append(state))
    train_model(make_job({"checkpoint_minutes": minutes}))  # two epochs of five steps
    assert len(states) == saved


@pytest.mark.parametrize("cache_gb, reads_per_volume", [(0.0, 2), (1.0, 1)])
def test_cached_volumes_are_read_once(make_job, monkeypatch, cache_gb, reads_per_volume):
    reads = []
    read = VolumeStore.read_compressed
    monkeypatch.setattr(VolumeStore, "read_compressed", lambda store, key: reads.append(key) or read(store, key))
    train_model(make_job({"cache_gb": cache_gb}))
    assert {reads.count(key) for key in reads} == {reads_per_volume}


def test_compile_compiles(make_job, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda model: compiled.append(model))
    train_model(make_job({"epochs": 1}, "plain"))
    assert not compiled
    train_model(make_job({"epochs": 1, "compile": True}, "compiled"))
    assert len(compiled) == 1


@pytest.mark.parametrize("channels_last, expected", [(True, True), (False, False), ("auto", False)])
def test_channels_last_lays_out_kernels(channels_last, expected):
    model = Precision.choose("off", channels_last).place(torch.nn.Conv3d(2, 3, 3))
    assert model.weight.is_contiguous(memory_format=torch.channels_last_3d) == expected


def test_a_flip_at_test_time_changes_predictions(make_job, small_cohort):
    dataset, store = small_cohort
    job = make_job()
    train_model(job)
    plain, flipped = (
        predict_split(job.directory / "best.pth", dataset, store, settings, job.preprocessing.canonical())
        for settings in (job.training, replace(job.training, test_time_flip=True))
    )
    assert not np.array_equal(plain["logit bright"], flipped["logit bright"])
