"""What is exported, and on how many scans that is checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hounsfield.errors import ConfigError
from hounsfield.settings import settings_from

FORMATS = ("onnx", "torch", "monai", "safetensors", "card")


@dataclass(frozen=True)
class ExportSettings:
    """The `exports` block.

    formats: some of FORMATS. volumes: scans of the validation split on which each format is compared with PyTorch.
    """

    formats: tuple[str, ...] = FORMATS
    volumes: int = 4

    @classmethod
    def from_config(cls, block: Mapping[str, Any]) -> "ExportSettings":
        """Raises ConfigError for an unknown key or format, no format, or no volume."""
        settings = settings_from(cls, block, "exports")
        unknown = [name for name in settings.formats if name not in FORMATS]
        if unknown or not settings.formats:
            raise ConfigError(f"config: exports.formats: {[*unknown, 'none'][0]!r} is not one of {', '.join(FORMATS)}")
        if settings.volumes < 1:
            raise ConfigError("config: exports.volumes: at least one is needed to compare a format with PyTorch")
        return settings
