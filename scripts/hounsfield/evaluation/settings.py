"""How scores are made."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hounsfield.settings import settings_from


@dataclass(frozen=True)
class EvaluationSettings:
    """The `evaluation` block.

    threshold: how each label's threshold is chosen on validation: youden (sensitivity + specificity), f1, sensitivity
    (the highest threshold that reaches `target`) or fixed (`target` itself). level: scan (the mean of its
    reconstructions) or volume. replicates: bootstrap resamples of patients. confidence: of the intervals.
    """

    threshold: str = "youden"
    target: float = 0.5
    level: str = "scan"
    replicates: int = 2000
    confidence: float = 0.95
    seed: int = 0

    @classmethod
    def from_config(cls, block: Mapping[str, Any]) -> "EvaluationSettings":
        """Raises ConfigError for an unknown key."""
        return settings_from(cls, block, "evaluation")
