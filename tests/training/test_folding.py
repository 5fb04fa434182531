"""Folded convolutions, against torch's own."""

import pytest
import torch

from hounsfield.training.folding import fold, is_foldable


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    "kernel, stride, padding", [(7, 2, 3), (3, 2, 1), (8, 8, 0), ((3, 5, 7), (2, 3, 2), (1, 2, 0))]
)
def test_a_folded_convolution_gives_the_same(kernel, stride, padding, channels):
    torch.manual_seed(0)
    conv = torch.nn.Conv3d(channels, 4, kernel, stride, padding).double()
    assert is_foldable(conv)
    x_BCDHW = torch.randn(2, channels, 16, 17, 23, dtype=torch.double)
    expected, found = conv(x_BCDHW), fold(conv, x_BCDHW)
    torch.testing.assert_close(found, expected)
    (expected_gradient,) = torch.autograd.grad(expected.square().sum(), conv.weight)
    (gradient,) = torch.autograd.grad(found.square().sum(), conv.weight)
    torch.testing.assert_close(gradient, expected_gradient)


def test_what_a_fold_does_not_stand_for():
    for changes in ({"stride": 1}, {"in_channels": 16}, {"dilation": 2}, {"padding": "valid"}, {"groups": 2}):
        arguments = {"in_channels": 2, "out_channels": 4, "kernel_size": 3, "stride": 2} | changes
        assert not is_foldable(torch.nn.Conv3d(**arguments))
    assert not is_foldable(torch.nn.Conv2d(1, 4, 3, 2))
