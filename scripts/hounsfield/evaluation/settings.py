"""How scores are made."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hounsfield.errors import ConfigError
from hounsfield.settings import settings_from

CHOICES = {
    "threshold": ("youden", "f1", "sensitivity_at", "fixed"),
    "level": ("scan", "volume"),
    "calibration": ("none", "temperature", "platt"),
    "interval": ("analytic", "percentile", "bca"),
}
PROTOCOLS = ("ct-clip",)


@dataclass(frozen=True)
class EvaluationSettings:
    """The `evaluation` block.

    threshold: how each label's threshold is chosen on validation: youden (sensitivity + specificity), f1,
    sensitivity_at (the highest threshold whose sensitivity reaches `target`) or fixed (`target` itself).
    level: scan (the mean of its reconstructions) or volume. calibration: none, temperature or platt, fitted on
    validation. confidence, interval: of the intervals, either analytic or from bootstrap resamples of patients;
    replicates: so many, drawn from `seed`. margin: a difference in AUROC or average precision that does not matter, for
    non-inferiority and equivalence.
    bins: of reliability. bands: edges of numeric subgroup columns. min_group: patients below which a subgroup is
    suppressed. protocols: published ways of scoring, beside the honest one.
    """

    threshold: str = "youden"
    target: float = 0.5
    level: str = "scan"
    calibration: str = "none"
    replicates: int = 2000
    confidence: float = 0.95
    interval: str = "analytic"
    seed: int = 0
    bins: int = 10
    bands: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    min_group: int = 20
    margin: float | None = None
    protocols: tuple[str, ...] = ()

    @classmethod
    def from_config(cls, block: Mapping[str, Any]) -> "EvaluationSettings":
        """Raises ConfigError for an unknown key or an impossible value."""
        settings = settings_from(cls, block, "evaluation")
        for key, allowed in CHOICES.items():
            _check(getattr(settings, key) in allowed, key, getattr(settings, key), f"one of {', '.join(allowed)}")
        _check(0 <= settings.target <= 1, "target", settings.target, "between 0 and 1")
        _check(settings.replicates >= 0, "replicates", settings.replicates, "0 or more")
        _check(0 < settings.confidence < 1, "confidence", settings.confidence, "between 0 and 1")
        _check(settings.bins >= 2, "bins", settings.bins, "2 or more")
        _check(settings.min_group >= 1, "min_group", settings.min_group, "1 or more")
        margin = settings.margin
        _check(margin is None or 0 < margin < 1, "margin", margin, "between 0 and 1, or null")
        for column, edges in settings.bands.items():
            rising = bool(edges) and list(edges) == sorted(set(edges))
            _check(rising, f"bands.{column}", list(edges), "a list of rising numbers")
        for name in settings.protocols:
            _check(name in PROTOCOLS, "protocols", name, f"one of {', '.join(PROTOCOLS)}")
        return settings


def _check(good: bool, key: str, value: Any, wanted: str) -> None:
    if not good:
        raise ConfigError(f"config: evaluation.{key}: {value!r} is not {wanted}")
