"""What a network is made from."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from hounsfield.settings import settings_from


@dataclass(frozen=True)
class ModelSettings:
    """One block of `models`, completed by what the data tell.

    architecture: a module of `hounsfield.models`. variant: its size, such as "18". options: keyword arguments of that
    architecture. in_channels: HU windows. shape: voxels (z, y, x). weights: path to start from, or None.
    """

    architecture: str
    variant: str
    options: Mapping[str, Any] = field(default_factory=dict)
    in_channels: int = 1
    shape: tuple[int, int, int] = (64, 64, 64)
    weights: str | None = None

    @classmethod
    def from_config(cls, block: Mapping[str, Any], in_channels: int, shape: tuple) -> "ModelSettings":
        """Raises ConfigError for an unknown key."""
        return settings_from(cls, dict(block) | {"in_channels": in_channels, "shape": shape}, "models")

    def plain(self) -> dict[str, Any]:
        """Plain values, as a checkpoint holds them."""
        return asdict(self) | {"options": dict(self.options), "shape": list(self.shape)}
