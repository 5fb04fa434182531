"""Where tensors live, and in which precision and layout the network runs."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from hounsfield.errors import ConfigError

AMP_TYPES = {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Precision:
    """device; amp_type: autocast's type or None; channels_last: memory layout of volumes and kernels."""

    device: torch.device
    amp_type: torch.dtype | None = None
    channels_last: bool = False

    @classmethod
    def choose(cls, amp: str, channels_last: bool | str) -> "Precision":
        """The GPU if there is one. Raises ConfigError.

        amp "auto" is bf16 on a GPU that has it, else off. channels_last "auto" is on in lower precision, whose
        kernels want it; in float32, convolutions are slower with it (by a third on a CPU).
        """
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if amp == "auto":
            amp = "bf16" if _has_bf16(device) else "off"
        if amp not in AMP_TYPES:
            raise ConfigError(f"config: training.amp: {amp!r} is not one of auto, {', '.join(AMP_TYPES)}")
        if amp == "fp16" and device.type == "cpu":
            raise ConfigError("config: training.amp: fp16 needs a GPU; use auto, off or bf16")
        if channels_last == "auto":
            channels_last = AMP_TYPES[amp] is not None
        return cls(device, AMP_TYPES[amp], bool(channels_last))

    def autocast(self) -> AbstractContextManager:
        """Context of the forward pass."""
        return torch.autocast(self.device.type, self.amp_type) if self.amp_type else nullcontext()

    def scaler(self) -> torch.amp.GradScaler:
        """Gradient scaler: at work for fp16 only."""
        return torch.amp.GradScaler(self.device.type, enabled=self.amp_type == torch.float16)

    def layout(self, x_BCDHW: torch.Tensor) -> torch.Tensor:
        """Volumes in the chosen memory layout."""
        return x_BCDHW.contiguous(memory_format=self._format(x_BCDHW))

    def place(self, model: nn.Module) -> nn.Module:
        """The network on the device, its kernels, flat or not, in the chosen memory layout."""
        model = model.to(self.device)
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.Conv3d):
                module.to(memory_format=self._format(module.weight))  # type: ignore[call-overload]
                if self.amp_type is not None and self.device.type == "cpu":
                    forward = partial(_convolve_on_cpu, module.forward, module.kernel_size)
                    module.forward = forward  # type: ignore[method-assign]
        return model

    def _format(self, tensor: torch.Tensor) -> torch.memory_format:
        if not self.channels_last:
            return torch.contiguous_format
        return torch.channels_last_3d if tensor.ndim == 5 else torch.channels_last


def _convolve_on_cpu(forward: Callable, kernel_size: tuple[int, ...], x: torch.Tensor) -> torch.Tensor:
    """In float32 where the map is small: there torch 2.13's bf16 gradients of kernels came out wrong or infinite.

    Seen where an axis of the map is shorter than the kernel; twice that is float32 here.
    """
    if all(n >= 2 * k for n, k in zip(x.shape[2:], kernel_size, strict=True)):
        return forward(x)
    with torch.autocast("cpu", enabled=False):
        return forward(x.float())


def _has_bf16(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
