"""A network's first convolution as a GPU does it fast: on one channel its matrix units would idle.

With strides s, the s^3 voxels that a step goes over become channels, and the kernel shrinks to match: the same sums in
another order (known as space to depth). A patch embedding becomes one matrix product.
"""

import torch
from torch import nn
from torch.nn import functional

FEW_CHANNELS = 8  # the matrix units take eight at a time


def is_foldable(module: nn.Module) -> bool:
    """Whether `fold` may stand for the module: a plain strided 3D convolution of few channels."""
    return (
        isinstance(module, nn.Conv3d)
        and module.in_channels < FEW_CHANNELS
        and min(module.stride) > 1
        and module.groups == 1
        and set(module.dilation) == {1}
        and module.padding_mode == "zeros"
        and not isinstance(module.padding, str)
    )


def fold(conv: nn.Conv3d, x_BCDHW: torch.Tensor) -> torch.Tensor:
    """What `conv` gives for `x_BCDHW`, up to rounding; for kernels in the memory layout channels_last_3d."""
    device = x_BCDHW.device.type
    if torch.is_autocast_enabled(device):
        x_BCDHW = x_BCDHW.to(torch.get_autocast_dtype(device))  # as the convolution would, but once and before
    before, after, missing = [], [], []
    for n, k, s, p in zip(x_BCDHW.shape[2:], conv.kernel_size, conv.stride, conv.padding, strict=True):
        reach = -(-k // s)  # of the kernel, in steps
        outputs = (n + 2 * p - k) // s + 1
        before.append(p)
        after.append(s * (outputs + reach - 1) - n - p)
        missing.append(s * reach - k)
    x = _space_to_depth(_pad(x_BCDHW, before, after), conv.stride)
    weight = _space_to_depth(_pad(conv.weight, [0, 0, 0], missing), conv.stride)
    return functional.conv3d(x, weight, conv.bias)


def _pad(x: torch.Tensor, before: list[int], after: list[int]) -> torch.Tensor:
    """Zeros, or where `after` is negative a cut, at the ends of the last three axes; torch wants the last one first."""
    pairs = reversed(list(zip(before, after, strict=True)))
    return functional.pad(x, [count for pair in pairs for count in pair])


def _space_to_depth(x: torch.Tensor, stride: tuple[int, int, int]) -> torch.Tensor:
    """(B, C, D, H, W) to (B, C * prod(stride), D / stride, ...)."""
    for axis, s in zip((2, 4, 6), stride, strict=True):
        x = x.unflatten(axis, (-1, s))
    return x.permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(4).movedim(4, 1)
