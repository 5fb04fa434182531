"""Where the network runs, and what cannot run there."""

import pytest
import torch

from hounsfield.errors import ConfigError
from hounsfield.models.create import create_model
from hounsfield.models.settings import ModelSettings
from hounsfield.training.precision import Precision


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CPU's rules")
@pytest.mark.parametrize("amp, message", [("bf16", "needs a GPU"), ("fp16", "needs a GPU"), ("half", "is not one of")])
def test_what_a_cpu_cannot_do_is_refused(amp, message):
    with pytest.raises(ConfigError, match=rf"training\.amp: .*{message}"):
        Precision.choose(amp, channels_last=True)


def test_auto_gradients_are_those_of_plain_float32():
    """Small maps, as at the end of a ResNet: where lower precision has gone wrong."""
    gradients = []
    for amp, channels_last in (("off", False), ("auto", True)):
        torch.manual_seed(0)
        precision = Precision.choose(amp, channels_last)
        settings = ModelSettings("resnet3d", "10", {"widen_factor": 0.25}, 1, (64, 64, 64))
        model = precision.place(create_model(settings, 3))
        x_BCDHW = precision.layout(torch.randn(2, 1, 64, 64, 64, generator=torch.Generator().manual_seed(1)))
        with precision.autocast():
            loss = model(x_BCDHW.to(precision.device)).float().square().sum()
        loss.backward()
        gradients.append(torch.cat([parameter.grad.flatten().float().cpu() for parameter in model.parameters()]))
    assert torch.isfinite(gradients[1]).all()
    relative = (gradients[0] - gradients[1]).norm() / gradients[0].norm()
    assert relative < (1e-3 if Precision.choose("auto", True).amp_type is None else 0.1)
