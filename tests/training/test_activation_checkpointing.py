"""Gradient checkpointing: the same gradients and statistics, from fewer kept activations."""

import pytest
import torch

from hounsfield.errors import ConfigError
from hounsfield.models.create import create_model
from hounsfield.models.settings import ModelSettings
from hounsfield.training.activation_checkpointing import checkpoint_activations
from hounsfield.training.trainer import train_model

SMALL = {
    "resnet3d": {"variant": "18", "options": {"widen_factor": 0.125}},
    "densenet3d": {"variant": "121", "options": {"init_features": 8, "growth_rate": 4}},
    "vit3d": {"variant": "tiny", "options": {"num_layers": 3}},
    "slices2d": {"variant": "18"},
}


def kept_bytes(model, x):
    """Gradients of the model's parameters, and the bytes that autograd keeps for them."""
    kept = {}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = model(x).square().mean()
    loss.backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}, sum(kept.values())


def settings(architecture):
    return ModelSettings(architecture, shape=(32, 32, 32), **SMALL[architecture])


@pytest.mark.parametrize("architecture", SMALL)
def test_gradients_and_statistics_are_the_same_and_less_is_kept(architecture):
    # Wide enough for the deepest batch norms; deterministic, as the networks have no dropout here.
    x = torch.randn(4, 1, 32, 32, 32, generator=torch.Generator().manual_seed(1))
    outcomes = []
    for recompute in (False, True):
        torch.manual_seed(0)
        model = create_model(settings(architecture), 2).train()
        if recompute:
            checkpoint_activations(model, settings(architecture))
        outcomes.append((*kept_bytes(model, x), model.state_dict()))
    (plain, plain_bytes, plain_state), (checkpointed, checkpointed_bytes, state) = outcomes
    assert checkpointed_bytes < 0.75 * plain_bytes
    for name, gradient in plain.items():
        assert gradient is not None and checkpointed[name] is not None, name
        torch.testing.assert_close(checkpointed[name], gradient, msg=name)
    for name, tensor in plain_state.items():
        assert torch.equal(tensor, state[name]), name


def test_an_architecture_without_blocks_is_refused():
    other = ModelSettings("monai_network", "SEResNet50")
    with pytest.raises(ConfigError, match="gradient_checkpointing: monai_network"):
        checkpoint_activations(torch.nn.Linear(2, 2), other)


def test_training_with_it_ends_in_the_same_weights(make_job):
    results = []
    for recompute in (False, True):
        job = make_job({"gradient_checkpointing": recompute, "ema": 0.9}, directory=f"run-{recompute}")
        train_model(job)
        results.append(torch.load(job.directory / "final.pth", weights_only=True)["weights"])
    for name, tensor in results[0].items():
        torch.testing.assert_close(tensor, results[1][name], msg=name)
