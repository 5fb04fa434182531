"""The stages of a network: every parameter is in one, in the order in which a volume passes them."""

import pytest
import torch

from hounsfield.errors import ConfigError
from hounsfield.models.create import architectures, create_model
from hounsfield.models.settings import ModelSettings
from hounsfield.models.stages import features_layer, is_within, network_stages

STAGED = {
    "resnet3d": ("10", {"widen_factor": 0.25}),
    "densenet3d": ("121", {"init_features": 8, "growth_rate": 4}),
    "vit3d": ("tiny", {"num_layers": 3}),
    "slices2d": ("18", {}),
}


def network(architecture):
    variant, options = STAGED[architecture]
    settings = ModelSettings(architecture, variant, options, shape=(32, 32, 32))
    return create_model(settings, 2).eval(), settings


def test_every_architecture_but_any_other_names_its_stages():
    assert set(STAGED) == set(architectures()) - {"monai_network"}
    with pytest.raises(ConfigError, match=r"training.layer_decay: monai_network names no stages"):
        network_stages(torch.nn.Linear(2, 2), ModelSettings("monai_network", "SEResNet50"), "training.layer_decay")


@pytest.mark.parametrize("architecture", STAGED)
def test_every_parameter_is_in_one_stage(architecture):
    model, settings = network(architecture)
    stages = network_stages(model, settings, "key")
    for name, _ in model.named_parameters():
        assert sum(is_within(name, stage) for stage in stages) == 1, name


@pytest.mark.parametrize("architecture", STAGED)
def test_stages_are_in_the_order_of_the_data(architecture):
    """A module called before another is in no later stage."""
    model, settings = network(architecture)
    stages, called = network_stages(model, settings, "key"), []
    for name, module in model.named_modules():
        if next(module.parameters(recurse=False), None) is not None:
            module.register_forward_hook(lambda *_, name=name: called.append(name))
    model(torch.zeros(1, 1, 32, 32, 32))
    places = [place for name in called for place, stage in enumerate(stages) if is_within(name, stage)]
    assert places == sorted(places) and len(set(places)) >= len(stages) - 1  # ours of slices holds bare parameters too


@pytest.mark.parametrize("architecture", STAGED)
def test_the_backbone_ends_where_the_features_are(architecture):
    """What is ahead of the head does not know how many pathologies there are."""
    model, settings = network(architecture)
    wider = create_model(settings, 7)
    head = network_stages(model, settings, "key")[-1]
    for (name, one), (_, other) in zip(model.named_parameters(), wider.named_parameters(), strict=True):
        assert one.shape == other.shape or is_within(name, head), name
    assert any(layer is features_layer(model, settings, "key") for layer in model.modules())


def test_names_are_whole_names_with_wildcards():
    assert is_within("layer1.0.conv1.weight", ["layer1"]) and is_within("layer1", ["layer[12]"])
    assert not is_within("layer10.weight", ["layer1"]) and not is_within("layer1.bn1", ["bn1"])
    assert is_within("blocks.3.norm1", ["blocks.[0-3]"]) and not is_within("blocks.4.norm1", ["blocks.[0-3]"])
