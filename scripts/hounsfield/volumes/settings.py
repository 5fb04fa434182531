"""How volumes are brought to one grid, and in which type they are kept."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hounsfield.config import canonical
from hounsfield.errors import ConfigError
from hounsfield.settings import settings_from

AIR_HU = -1000


@dataclass(frozen=True)
class PreprocessingSettings:
    """The `preprocessing` block.

    spacing: mm along (z, y, x). shape: voxels along (z, y, x). dtype: int16 (HU) or uint8 (HU within `window`, scaled
    to 0-255). antialias: average over the target voxel where the volume is sampled down.
    """

    spacing: tuple[float, float, float]
    shape: tuple[int, int, int]
    dtype: str = "int16"
    window: tuple[float, float] | None = None
    antialias: bool = False

    @classmethod
    def from_config(cls, block: Mapping[str, Any]) -> "PreprocessingSettings":
        """Raises ConfigError if uint8 comes without an ascending window, or int16 with one."""
        settings = settings_from(cls, block, "preprocessing")
        if settings.dtype not in ("int16", "uint8"):
            raise ConfigError(f"config: preprocessing.dtype: {settings.dtype!r} is not one of int16, uint8")
        if (settings.dtype == "uint8") != (settings.window is not None):
            raise ConfigError("config: preprocessing.window: uint8 needs a window of two HU, and int16 takes none")
        if settings.window and not settings.window[0] < settings.window[1]:
            raise ConfigError("config: preprocessing.window: the lower HU must come first")
        return settings

    def canonical(self) -> dict[str, Any]:
        """Plain values, one spelling for equal settings (5 and 5.0 mm are one)."""
        values = asdict(self) | {"spacing": [float(mm) for mm in self.spacing]}
        values["window"] = [float(hu) for hu in self.window] if self.window else None
        return canonical(values)

    def encode(self, hu: np.ndarray) -> np.ndarray:
        """Float HU, any shape, to the stored type, rounded to the nearest step and clipped to its range."""
        if self.window:
            low, high = self.window
            hu = (hu - np.float32(low)) * np.float32(255 / (high - low))
        limits = np.iinfo(self.dtype)
        return np.clip(np.rint(hu), limits.min, limits.max).astype(self.dtype)
