"""Frozen parts do not change, and stages further from the head learn more slowly."""

import signal

import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from hounsfield.errors import ConfigError
from hounsfield.models.create import create_model
from hounsfield.models.settings import ModelSettings
from hounsfield.models.stages import is_within, network_stages
from hounsfield.tables import read_table
from hounsfield.training import trainer
from hounsfield.training.checkpoints import load_checkpoint
from hounsfield.training.interruption import Interrupted
from hounsfield.training.optimization import freeze, rate_shares
from hounsfield.training.trainer import prepare, train_model

BLOCKS = {
    "resnet3d": {"variant": "10", "options": {"widen_factor": 0.125, "conv1_t_stride": 1}},
    "densenet3d": {"variant": "121", "options": {"init_features": 8, "growth_rate": 4, "block_config": [2, 2]}},
    "vit3d": {"variant": "tiny", "options": {"patch_size": 8, "num_layers": 2, "dropout_rate": 0.2}},
    "slices2d": {"variant": "18"},
}


def block(architecture):
    return {"architecture": architecture} | BLOCKS[architecture]


@pytest.fixture
def start(small_cohort, tmp_path):
    """A function: block of an architecture whose weights, with moved running statistics, are in a file; the weights."""

    def write(architecture):
        settings = ModelSettings.from_config(block(architecture), 1, (16, 16, 16))
        torch.manual_seed(5)
        model = create_model(settings, 2).train()
        with torch.no_grad():
            model(torch.randn(8, 1, 16, 16, 16))
        torch.save(model.state_dict(), tmp_path / "weights.pth")
        return block(architecture) | {"weights": str(tmp_path / "weights.pth")}, model.state_dict(), (model, settings)

    return write


def final(job):
    return load_checkpoint(job.directory / "final.pth")["weights"]


@pytest.mark.parametrize("changes", [{}, {"gradient_checkpointing": True, "ema": 0.9}], ids=["plain", "checkpointed"])
@pytest.mark.parametrize("architecture", ["resnet3d", "densenet3d", "vit3d"])
def test_a_frozen_backbone_keeps_every_bit_and_the_head_learns(make_job, start, architecture, changes):
    started, weights, built = start(architecture)
    job = make_job({"freeze": "backbone"} | changes, block=started)
    train_model(job)
    head = network_stages(*built, "key")[-1]
    for name, tensor in final(job).items():
        assert torch.equal(tensor, weights[name]) != is_within(name, head), name


def test_the_optimizer_holds_only_what_learns(make_job, start):
    started, _, _ = start("resnet3d")
    training, state = prepare(make_job({"freeze": "backbone"}, block=started))
    held = [parameter for group in state.optimizer.param_groups for parameter in group["params"]]
    assert {id(each) for each in held} == {id(each) for each in state.model.fc.parameters()}
    trainer.train_epoch(state, training)
    assert not any(module.training for module in state.model.modules() if isinstance(module, _BatchNorm))
    assert state.model.fc.training


def test_named_parts_are_frozen_and_others_learn(make_job, start):
    started, weights, _ = start("resnet3d")
    job = make_job({"freeze": ["conv1", "bn1", "layer[12]"]}, block=started)
    train_model(job)
    for name, tensor in final(job).items():
        assert torch.equal(tensor, weights[name]) == is_within(name, ["conv1", "bn1", "layer1", "layer2"]), name


@pytest.mark.parametrize(
    "names, message",
    [
        (["layer9"], "nothing named 'layer9' learns; the network has conv1, bn1, layer1"),
        (["*"], "nothing is left to learn"),
    ],
)
def test_what_cannot_be_frozen_is_named(start, names, message):
    _, _, built = start("resnet3d")
    with pytest.raises(ConfigError, match=rf"config: training.freeze: {message.replace('*', '.')}"):
        freeze(*built, names)


def test_the_backbone_of_any_other_network_is_not_known():
    settings = ModelSettings("monai_network", "SEResNet50")
    with pytest.raises(ConfigError, match=r"training.freeze: monai_network names no stages"):
        freeze(torch.nn.Linear(2, 2), settings, "backbone")
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1))
    assert freeze(model, settings, ["0"]) == [model[0]]


@pytest.mark.parametrize("architecture", BLOCKS)
def test_rates_fall_from_the_head_by_the_same_factor_at_each_stage(start, architecture):
    _, _, (model, settings) = start(architecture)
    shares = rate_shares(model, settings, 0.5)
    stages = network_stages(model, settings, "key")
    for k, stage in enumerate(reversed(stages)):
        assert {share for name, share in shares.items() if is_within(name, stage)} == {0.5**k}
    assert set(rate_shares(model, settings, None).values()) == {1.0}


def test_a_step_is_as_long_as_its_stage_may_take(make_job):
    """AdamW's first step is of the length of the learning rate, whatever the gradient."""
    settings = {"layer_decay": 0.1, "epochs": 1, "batch_size": 14, "warmup_epochs": 0, "weight_decay": 0}
    job = make_job(settings | {"learning_rate": 0.01}, block=block("resnet3d"))
    _, fresh = prepare(job)
    before = {name: tensor.clone() for name, tensor in fresh.model.state_dict().items()}
    train_model(job)
    moved = {name: (final(job)[name] - before[name]).abs().max().item() for name in before if "weight" in name}
    assert moved["fc.weight"] == pytest.approx(0.01, rel=0.01)
    assert moved["layer4.0.conv1.weight"] == pytest.approx(0.001, rel=0.05)
    assert moved["layer3.0.conv1.weight"] == pytest.approx(0.0001, rel=0.05)
    history = read_table(job.directory / "history.tsv")
    assert history["learning_rate"].tolist() == [0.01]  # the head's


def test_without_a_decay_all_stages_learn_alike(make_job):
    plain, one = (make_job({"layer_decay": decay}, name) for name, decay in (("plain", None), ("one", 1)))
    for job in (plain, one):
        train_model(job)
    assert all(torch.equal(tensor, final(one)[name]) for name, tensor in final(plain).items())


def test_interrupted_fine_tuning_ends_in_the_same_bits(make_job, start, monkeypatch):
    started, _, _ = start("resnet3d")
    settings = {"freeze": ["conv1", "bn1", "layer1"], "layer_decay": 0.7, "ema": 0.9, "gradient_checkpointing": True}
    whole, broken = (make_job(settings, name, block=started) for name in ("whole", "broken"))
    train_model(whole)
    pause = trainer._pause

    def interrupting(state, training, begun):
        if state.step == 6:
            signal.raise_signal(signal.SIGINT)
        pause(state, training, begun)

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "_pause", interrupting)
        with pytest.raises(Interrupted):
            train_model(broken)
    train_model(broken)
    assert all(torch.equal(tensor, final(broken)[name]) for name, tensor in final(whole).items())
