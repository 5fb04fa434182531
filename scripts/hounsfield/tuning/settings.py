"""How the search goes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hounsfield.errors import ConfigError
from hounsfield.settings import settings_from

METRICS = ("roc_auc_macro", "average_precision_macro", "loss")


@dataclass(frozen=True)
class TuningSettings:
    """The `tune` block, with a model's own laid over it.

    trials: in all, the first of them the configuration as it is. workers: jobs that share them. metric: what is
    compared, on validation. seed: of the draws and of the trainings. rungs: epochs after which trials are compared, the
    last one the length of a whole training; None for a ninth, a third and all of the model's epochs. reduction: of so
    many trials one goes on at a rung. wandb: mode of W&B for the trials. space: parameters, see
    `hounsfield.tuning.space`.
    """

    trials: int = 20
    workers: int = 1
    metric: str = "roc_auc_macro"
    seed: int = 0
    rungs: tuple[int, ...] | None = None
    reduction: int = 3
    wandb: str = "disabled"
    space: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_config(cls, block: Mapping[str, Any]) -> "TuningSettings":
        """Raises ConfigError for an unknown key or an impossible value."""
        settings = settings_from(cls, block, "tune")
        if settings.metric not in METRICS:
            raise ConfigError(f"config: tune.metric: {settings.metric!r} is not one of {', '.join(METRICS)}")
        if settings.trials < 1 or settings.workers < 1 or settings.reduction < 2:
            raise ConfigError("config: tune: trials and workers must be 1 or more, reduction 2 or more")
        rungs = list(settings.rungs) if settings.rungs is not None else [1]
        if not rungs or rungs != sorted(set(rungs)) or rungs[0] < 1:
            raise ConfigError(f"config: tune.rungs: {rungs} is not a list of rising numbers of epochs")
        return settings

    @property
    def lower_is_better(self) -> bool:
        """Whether the metric is a loss."""
        return self.metric == "loss"

    def rungs_of(self, epochs: int) -> tuple[int, ...]:
        """Epochs after which trials are compared, for a model that is trained for `epochs`; the last ends them."""
        if self.rungs is not None:
            return self.rungs
        return tuple(sorted({-(-epochs // self.reduction**power) for power in (2, 1, 0)}))
