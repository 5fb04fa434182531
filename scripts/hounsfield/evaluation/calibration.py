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

    def loss(parameters: np.ndarray) -> float:
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


MEASURES: tuple[str, ...] = (
    "slope",
    "intercept",
    "brier",
    "miscalibration",
    "resolution",
    "uncertainty",
    "calibration_error",
)
MEASURES += ("expected_calibration_error",)
DRAWS, SEED = 200, 0


def calibration_measures(labels: np.ndarray, logits: np.ndarray, bins: int) -> dict[str, float]:
    """How one label's logits (N,) agree with its labels, unknown ones left out; nan where undefined.

    slope and intercept (in the large: with the slope held at 1) of a logistic regression on the logits: 1 and 0 of
    perfect calibration. brier = miscalibration - resolution + uncertainty, within the bins (Murphy, 1973) but for what
    probabilities vary inside a bin. expected_calibration_error: what perfect calibration would have by chance.
    """
    known = ~np.isnan(labels)
    labels, logits = labels[known], logits[known]
    if not len(labels):
        return dict.fromkeys(MEASURES, np.nan)
    probabilities = expit(logits)
    table = reliability(labels, probabilities, bins)
    filled = table[table["n"] > 0]
    share, base = filled["n"] / len(labels), labels.mean()
    drawn = np.random.default_rng(SEED).random((DRAWS, len(labels))) < probabilities
    chance = [calibration_error(reliability(each.astype(np.float64), probabilities, bins)) for each in drawn]
    slope, intercept = _slope_and_intercept(labels, logits)
    values = (
        slope,
        intercept,
        np.mean((probabilities - labels) ** 2),
        np.sum(share * (filled["mean_probability"] - filled["observed"]) ** 2),
        np.sum(share * (filled["observed"] - base) ** 2),
        base * (1 - base),
        calibration_error(table),
        np.mean(chance),
    )
    return dict(zip(MEASURES, map(float, values), strict=True))


def _slope_and_intercept(labels: np.ndarray, logits: np.ndarray) -> tuple[float, float]:
    """Of logistic regressions on the logits; nan where only one kind is known, or the logits separate the kinds."""
    if len(np.unique(labels)) < 2:
        return np.nan, np.nan

    def loss(parameters: np.ndarray, slope: float | None = None) -> float:
        free = slope is None
        scaled = (parameters[1] if free else slope) * logits + parameters[0]
        residual = expit(scaled) - labels
        gradient = np.array([residual.mean(), np.mean(residual * logits)])
        return np.mean(np.logaddexp(0, scaled) - labels * scaled), gradient if free else gradient[:1]

    in_the_large = minimize(loss, [0.0], args=(1.0,), jac=True, method="BFGS").x[0]
    positive = labels == 1
    separated = logits[positive].min() > logits[~positive].max() or logits[positive].max() < logits[~positive].min()
    slope = np.nan if separated else minimize(loss, [0.0, 1.0], jac=True, method="BFGS").x[1]
    return float(slope), float(in_the_large)
