"""How far probabilities can be taken at their word, and maps that mend them, fitted on validation."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import expit

# Where validation is separated without an error the best scale is infinite; this is steep enough.
STEEPEST = 20.0
FLATTEST = 0.01


@dataclass(frozen=True)
class Calibration:
    """Calibrated logit = scale * logit + offset, each (P,); a temperature is 1 / scale."""

    scale: np.ndarray
    offset: np.ndarray

    def apply(self, logits: np.ndarray) -> np.ndarray:
        """Logits (N, P), calibrated."""
        return logits * self.scale + self.offset


def fit_calibration(labels: np.ndarray, logits: np.ndarray, kind: str) -> Calibration:
    """Fit each label's map to validation's labels and logits (N, P); kind: none, temperature or platt.

    A label with only one kind known keeps its logits as they are.
    """
    fitted = [_fit(labels[:, j], logits[:, j], kind) for j in range(labels.shape[1])]
    scale, offset = np.array(fitted, np.float64).reshape(-1, 2).T
    return Calibration(scale, offset)


def _fit(labels: np.ndarray, logits: np.ndarray, kind: str) -> tuple[float, float]:
    known = ~np.isnan(labels)
    labels, logits = labels[known], logits[known]
    if kind == "none" or len(np.unique(labels)) < 2:
        return 1.0, 0.0
    targets = _platt_targets(labels) if kind == "platt" else labels
    free = 2 if kind == "platt" else 1

    def loss(parameters):
        offset = parameters[1] if free == 2 else 0.0
        scaled = parameters[0] * logits + offset
        residual = expit(scaled) - targets
        value = np.mean(np.logaddexp(0, scaled) - targets * scaled)
        return value, np.array([np.mean(residual * logits), np.mean(residual)])[:free]

    bounds = [(FLATTEST, STEEPEST), (None, None)][:free]
    start = np.array([1.0, 0.0])[:free]
    found = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B", options={"ftol": 1e-15, "gtol": 1e-10})
    return float(found.x[0]), float(found.x[1]) if free == 2 else 0.0


def _platt_targets(labels: np.ndarray) -> np.ndarray:
    """Targets short of 0 and 1 (Platt, 1999), which keep the offset finite for few cases."""
    positives = labels.sum()
    return np.where(labels == 1, (positives + 1) / (positives + 2), 1 / (len(labels) - positives + 2))


def reliability(labels: np.ndarray, probabilities: np.ndarray, bins: int) -> pd.DataFrame:
    """Of one label (N,): columns low, high, n, mean_probability, observed of bins of equal width, empty ones too."""
    known = ~np.isnan(labels)
    labels, probabilities = labels[known], probabilities[known]
    number = np.minimum((probabilities * bins).astype(int), bins - 1)
    n = np.bincount(number, minlength=bins)
    sums = [np.bincount(number, values, minlength=bins) for values in (probabilities, labels)]
    means = [np.divide(total, n, out=np.full(bins, np.nan), where=n > 0) for total in sums]
    edges = np.arange(bins + 1) / bins
    return pd.DataFrame(
        {"low": edges[:-1], "high": edges[1:], "n": n, "mean_probability": means[0], "observed": means[1]}
    )


def calibration_error(bins: pd.DataFrame) -> float:
    """Expected calibration error: the mean gap between probability and observed share, each case counting once."""
    total = bins["n"].sum()
    gaps = (bins["mean_probability"] - bins["observed"]).abs().fillna(0)
    return float((gaps * bins["n"]).sum() / total) if total else float("nan")
