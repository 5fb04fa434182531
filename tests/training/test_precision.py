"""Where the network runs, and what cannot run there."""

import copy

import pytest
import torch

from hounsfield.errors import ConfigError
from hounsfield.models.create import create_model
from hounsfield.models.settings import ModelSettings
from hounsfield.training.precision import Precision


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CPU's rules")
@pytest.mark.parametrize("amp, message", [("fp16", "needs a GPU"), ("half", "is not one of")])
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


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("kernel, stride", [(1, 1), (1, 2), (3, 1), (3, 2), (7, 2)])
@pytest.mark.parametrize("channels", [(1, 64), (16, 32), (256, 512)])
def test_bf16_gradients_of_kernels_on_maps_of_any_size(channels, kernel, stride, channels_last):
    if channels[0] > 16 and kernel > 3:
        pytest.skip("no network has such a layer")
    precision = Precision.choose("bf16", channels_last)
    # torch 2.13 itself, in float32 too, writes beyond its memory where 7 voxels of kernel meet fewer of a map.
    sizes = (1, 2, 4, 7) if channels[0] > 16 else (1, 2, 3, 4, 6, 7, 8, 12, 15, 16)
    for size in sizes[7 if kernel == 7 else 0 :]:
        torch.manual_seed(size)
        plain = torch.nn.Conv3d(*channels, kernel, stride, kernel // 2).to(precision.device)
        half = precision.place(copy.deepcopy(plain))
        x_BCDHW = torch.randn(2, channels[0], size, size, size, device=precision.device)
        expected = plain(x_BCDHW)
        with precision.autocast():
            found = half(precision.layout(x_BCDHW))
        gradient = torch.randn_like(expected)
        expected.backward(gradient)
        found.backward(gradient.to(found.dtype))
        error = (half.weight.grad - plain.weight.grad).norm() / plain.weight.grad.norm()
        assert error < 0.02, (size, error)
