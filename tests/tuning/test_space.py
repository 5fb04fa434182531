"""Spaces: laid over one another, checked before any work, and put back into a block."""

from pathlib import Path

import pytest
import yaml

from hounsfield.config import check_config
from hounsfield.errors import ConfigError
from hounsfield.models.create import architectures
from hounsfield.tuning.settings import TuningSettings
from hounsfield.tuning.space import Choices, Range, check_tuning, search_space, values_of, with_values

ROOT = Path(__file__).parents[2]
SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
VARIANTS = {"resnet3d": "10", "densenet3d": "121", "vit3d": "tiny", "slices2d": "18", "monai_network": "SEResNet50"}


def config_with(space, architecture="resnet3d"):
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    model = {"architecture": architecture, "variant": VARIANTS[architecture], "tune": {"space": space}}
    config |= {"models": {"mine": model}, "tune": {"space": {}}}
    check_config(config, SCHEMA)
    return config


@pytest.mark.parametrize("architecture", architectures())
def test_the_space_of_each_architecture_is_sound(architecture):
    assert "training.learning_rate" in search_space(architecture)
    check_tuning(config_with({}, architecture), SCHEMA)


@pytest.mark.parametrize(
    "name, written, problem",
    [
        ("training.learning_rate", {"low": 0.1, "high": 0.01}, "low, 0.1, must be below high, 0.01"),
        ("training.learning_rate", {"low": 0, "high": 0.01, "log": True}, "log needs a low above 0"),
        ("training.learning_rate", {"low": 0, "high": 0.01}, "less than or equal to the minimum of 0"),
        ("training.learning_rate", {"low": 0.1}, "high: is required"),
        ("training.lr", {"low": 0.1, "high": 1}, "mine.training.lr: unknown key"),
        ("training.loss.kind", {"choices": ["bce", "dice"]}, "'dice' is not one of bce"),
        ("training.loss.kind", {"choices": ["bce", "bce"]}, "each once"),
        ("training.batch_size", {"low": 2, "high": 8}, "is not of type 'integer'"),
        ("training.epochs", {"low": 2, "high": 8, "step": 1}, "cannot be searched"),
        ("weights", {"choices": ["a.pth"]}, "cannot be searched"),
        ("training.ema", {"choices": [0.9], "low": 0.5}, "low: unknown key"),
    ],
)
def test_what_cannot_be_searched_is_named_in_one_line(name, written, problem):
    with pytest.raises(ConfigError) as error:
        check_tuning(config_with({name: written}), SCHEMA)
    lines = str(error.value).splitlines()
    assert len(lines) == 1 and lines[0].startswith("config: tune.space") and problem in lines[0]


def test_losses_that_differ_and_rungs_that_fall_are_refused_before_any_work():
    config = config_with({})
    for tune, problem in (({"metric": "loss"}, "cannot compare different losses"), ({"rungs": [3, 2]}, "rising")):
        with pytest.raises(ConfigError, match=problem):
            check_tuning(config | {"tune": {"space": {}, **tune}}, SCHEMA)
    check_tuning(config | {"tune": {"space": {"training.loss.kind": None}, "metric": "loss"}}, SCHEMA)


def test_what_can_be_searched_passes():
    space = {
        "training.batch_size": {"low": 2, "high": 8, "step": 2},
        "training.ema": {"choices": [None, 0.99]},
        "training.windows": {"choices": [[[-1000, 400]], [[-1000, 400], [-160, 240]]]},
        "variant": {"choices": ["10", "18"]},
        "options.widen_factor": {"low": 0.25, "high": 1},
    }
    check_tuning(config_with(space), SCHEMA)


def test_later_blocks_replace_a_parameter_as_a_whole():
    first = {"training.learning_rate": {"choices": [0.1]}, "training.weight_decay": None}
    space = search_space("vit3d", first, {"training.weight_decay": {"low": 0.1, "high": 0.2}})
    assert space["training.learning_rate"] == Choices((0.1,))
    assert space["training.weight_decay"] == Range(0.1, 0.2)
    assert "training.weight_decay" not in search_space("vit3d", first)
    with pytest.raises(ConfigError, match="every parameter is null"):
        search_space("vit3d", dict.fromkeys(search_space("vit3d")))


def test_values_go_into_the_block_as_they_were_written():
    space = search_space("resnet3d", {"training.ema": {"choices": [None, 0.99]}})
    drawn = {"training.ema": "null", "training.augmentation.scale": "[0.9, 1.1]", "training.learning_rate": 0.01}
    block = {"variant": "10", "training": {"epochs": 3, "augmentation": {"flip": 0}}}
    changed = with_values(block, values_of(space, drawn))
    augmentation = {"flip": 0, "scale": [0.9, 1.1]}
    assert changed["training"] == {"epochs": 3, "augmentation": augmentation, "ema": None, "learning_rate": 0.01}
    assert block["training"] == {"epochs": 3, "augmentation": {"flip": 0}}


def test_rungs_are_those_given_or_parts_of_the_epochs():
    assert TuningSettings().rungs_of(50) == (6, 17, 50)
    assert TuningSettings(reduction=2).rungs_of(3) == (1, 2, 3)
    assert TuningSettings().rungs_of(1) == (1,)
    assert TuningSettings.from_config({"rungs": [2, 5]}).rungs_of(50) == (2, 5)


@pytest.mark.parametrize(
    "block", [{"rungs": [3, 2]}, {"rungs": [0, 2]}, {"rungs": []}, {"trials": 0}, {"reduction": 1}, {"metric": "f1"}]
)
def test_impossible_settings_are_refused(block):
    with pytest.raises(ConfigError, match="config: tune"):
        TuningSettings.from_config(block)
