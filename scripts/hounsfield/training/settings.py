"""How a network is trained."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hounsfield.errors import ConfigError
from hounsfield.settings import settings_from


@dataclass(frozen=True)
class AugmentationSettings:
    """Random changes of training volumes; a range is drawn from uniformly, zero or (1, 1) turns a change off.

    flip: probability of a left-right flip. rotation: degrees about each axis, plus or minus. translation: mm along
    each axis, plus or minus. scale: factor, from and to. noise: highest standard deviation in HU. blur: highest sigma
    in mm. contrast: factor about the mean HU of the volume as stored, from and to. shift: HU, plus or minus.
    """

    flip: float = 0.5
    rotation: float = 10.0
    translation: float = 10.0
    scale: tuple[float, float] = (0.9, 1.1)
    noise: float = 20.0
    blur: float = 0.0
    contrast: tuple[float, float] = (0.95, 1.05)
    shift: float = 10.0


@dataclass(frozen=True)
class LossSettings:
    """kind: bce, focal or asymmetric. max_pos_weight: cap of bce's weight on positives (1 turns it off).

    gamma: focusing exponent of focal, and of the negatives of asymmetric. alpha: focal's weight of positives.
    gamma_positive and clip: asymmetric's exponent of positives and shift of negatives.
    """

    kind: str = "bce"
    max_pos_weight: float = 10.0
    gamma: float = 2.0
    alpha: float = 0.5
    gamma_positive: float = 0.0
    clip: float = 0.05


@dataclass(frozen=True)
class EarlyStoppingSettings:
    """metric: roc_auc_macro, average_precision_macro or loss, on validation. patience: epochs without improvement."""

    metric: str = "roc_auc_macro"
    patience: int = 10
    min_delta: float = 0.0


@dataclass(frozen=True)
class TrainingSettings:
    """The `training` block; config/README.md explains every key."""

    epochs: int = 50
    gpu: int = 1
    nodes: int = 1
    batch_size: int = 4
    accumulate: int = 1
    learning_rate: float = 3e-4
    weight_decay: float = 0.01
    warmup_epochs: float = 1.0
    clip_norm: float | None = 1.0
    amp: str = "auto"
    channels_last: bool | str = "auto"
    compile: bool = False
    gradient_checkpointing: bool = False
    ema: float | None = None
    freeze: str | tuple[str, ...] | None = None
    layer_decay: float | None = None
    sampling: str = "shuffle"
    windows: tuple[tuple[float, float], ...] = ((-1000.0, 400.0),)
    augmentation: AugmentationSettings = field(default_factory=AugmentationSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    early_stopping: EarlyStoppingSettings = field(default_factory=EarlyStoppingSettings)
    checkpoint_minutes: float = 10.0
    cache_gb: float = 8.0
    test_time_flip: bool = False
    continue_from: str | None = None

    @classmethod
    def from_config(cls, block: Mapping[str, Any]) -> "TrainingSettings":
        """Raises ConfigError for an unknown key, a descending window, or batches smaller than `gpu` x `nodes`."""
        block = dict(block)
        nested = {
            "augmentation": AugmentationSettings,
            "loss": LossSettings,
            "early_stopping": EarlyStoppingSettings,
        }
        parts: dict[str, Any] = {
            name: settings_from(kind, block.pop(name, {}), f"training.{name}") for name, kind in nested.items()
        }
        settings = settings_from(cls, block | parts, "training")
        if settings.batch_size < settings.gpu * settings.nodes:
            raise ConfigError(
                f"config: training.batch_size: {settings.batch_size} volumes cannot be shared by gpu: {settings.gpu}"
                f" x nodes: {settings.nodes}"
            )
        for low, high in settings.windows:
            if not low < high:
                raise ConfigError(f"config: training.windows: [{low}, {high}] must ascend")
        return settings
