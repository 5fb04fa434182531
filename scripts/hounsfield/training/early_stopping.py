"""When to stop, and which epoch was best."""

import math
from dataclasses import asdict, dataclass
from typing import Any


@dataclass
class EarlyStopping:
    """Counts epochs without improvement of a validation metric.

    lower_is_better: for a loss. patience: epochs without improvement before stopping. min_delta: what counts as one.
    """

    patience: int
    lower_is_better: bool = False
    min_delta: float = 0.0
    best: float | None = None
    best_epoch: int = -1
    epochs_without: int = 0

    def update(self, value: float, epoch: int) -> bool:
        """Take an epoch's value and return whether it is the best so far. An undefined value is no improvement."""
        improved = not math.isnan(value) and (self.best is None or self._gain(value) > self.min_delta)
        if improved:
            self.best, self.best_epoch, self.epochs_without = value, epoch, 0
        else:
            self.epochs_without += 1
        return improved

    @property
    def should_stop(self) -> bool:
        """Whether patience is used up."""
        return self.epochs_without >= self.patience

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return asdict(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up progress, under the patience that is set now."""
        for name in ("best", "best_epoch", "epochs_without"):
            setattr(self, name, state[name])

    def _gain(self, value: float) -> float:
        assert self.best is not None  # a gain is over something
        return self.best - value if self.lower_is_better else value - self.best
