"""How it is shown where a network looks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hounsfield.errors import ConfigError
from hounsfield.settings import settings_from

SALIENCY = ("auto", "grad_cam", "hires_cam", "gradient")


@dataclass(frozen=True)
class ExplainSettings:
    """The `explain` block.

    examples: scans shown for each label and kind of example; 0 shows none. saliency: how the maps are made; auto is
    hires_cam for convolutional networks and gradient for transformers. samples: noisy copies that gradient averages.
    window: HU that the pictures span, black to white.
    """

    examples: int = 1
    saliency: str = "auto"
    samples: int = 8
    window: tuple[float, float] = (-1000.0, 400.0)

    @classmethod
    def from_config(cls, block: Mapping[str, Any]) -> "ExplainSettings":
        """Raises ConfigError for an unknown key or method, a count out of range, or a window that does not ascend."""
        settings = settings_from(cls, block, "explain")
        if settings.saliency not in SALIENCY:
            raise ConfigError(f"config: explain.saliency: {settings.saliency!r} is not one of {', '.join(SALIENCY)}")
        if settings.examples < 0 or settings.samples < 1:
            raise ConfigError("config: explain: examples must be 0 or more, samples 1 or more")
        if len(settings.window) != 2 or not settings.window[0] < settings.window[1]:
            raise ConfigError("config: explain.window: give two HU, the lower one first")
        return settings
