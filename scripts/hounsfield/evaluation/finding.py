"""A value, how sure it is, and what can be concluded from it."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.stats import t


class Interval(NamedTuple):
    """A value and the limits of its interval; nan where undefined, or where none is to be shown."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Finding:
    """value; below, above: standard errors towards either side, of a t with `freedom` degrees of freedom.

    reason: why no interval is shown; "" if one is.
    """

    value: float
    below: float
    above: float
    freedom: float
    confidence: float
    reason: str = ""

    @classmethod
    def undefined(cls, reason: str, confidence: float) -> "Finding":
        """What has no value."""
        return cls(*[float("nan")] * 3, 1.0, confidence, reason)

    @property
    def interval(self) -> Interval:
        """With the limits of the confidence."""
        if self.reason:
            return Interval(self.value, float("nan"), float("nan"))
        width = t.ppf((1 + self.confidence) / 2, self.freedom)
        return Interval(self.value, float(self.value - width * self.below), float(self.value + width * self.above))

    @property
    def p(self) -> float:
        """Two-sided, of a difference of zero; below 1 - confidence where the interval leaves zero out."""
        if self.reason:
            return float("nan")
        return 1.0 if self.value == 0 else float(min(1.0, 2 * min(self.p_above(0.0), self.p_below(0.0))))

    def p_above(self, bound: float) -> float:
        """One-sided: small where the value is surely above the bound."""
        return self._tail(self.value - bound, self.below if self.value > bound else self.above)

    def p_below(self, bound: float) -> float:
        """One-sided: small where the value is surely below the bound."""
        return self._tail(bound - self.value, self.above if self.value < bound else self.below)

    def _tail(self, distance: float, error: float) -> float:
        if self.reason or np.isnan(distance):
            return float("nan")
        if error == 0:
            return 0.0 if distance > 0 else 1.0
        return float(t.sf(distance / error, self.freedom))
