"""Thresholds on the probability, chosen on validation only."""

import numpy as np

from hounsfield.evaluation.predictions import Predictions
from hounsfield.evaluation.settings import EvaluationSettings

UNDECIDED = 0.5


def choose_thresholds(validation: Predictions, settings: EvaluationSettings) -> np.ndarray:
    """A threshold a label (P,): a probability at or above it is a finding; 0.5 where validation cannot tell."""
    columns = zip(validation.labels.T, validation.probabilities.T, strict=True)
    return np.array([choose_threshold(labels, values, settings) for labels, values in columns])


def choose_threshold(labels: np.ndarray, probabilities: np.ndarray, settings: EvaluationSettings) -> float:
    """The threshold of one label (N,), midway between two neighbouring scores; the higher one if two are as good."""
    if settings.threshold == "fixed":
        return settings.target
    known = ~np.isnan(labels)
    positive, probabilities = labels[known] == 1, probabilities[known]
    if not positive.any() or positive.all():
        return UNDECIDED
    candidates, true, false = operating_points(positive, probabilities)
    sensitivity = true / positive.sum()
    specificity = 1 - false / (~positive).sum()
    if settings.threshold == "sensitivity_at":
        return float(candidates[np.argmax(sensitivity >= settings.target)])
    value = 2 * true / (true + false + positive.sum()) if settings.threshold == "f1" else sensitivity + specificity
    return float(candidates[np.argmax(value)])


def operating_points(positive: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Thresholds from high to low, and the true and false positives of each."""
    order = np.argsort(-probabilities, kind="stable")
    ranked = probabilities[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    below = np.append(ranked[last[:-1] + 1], ranked[-1])
    # The mean of two adjacent floats may round to the lower one, whose cases would then count.
    middle = np.maximum((ranked[last] + below) / 2, np.nextafter(below, ranked[last]))
    return middle, np.cumsum(positive[order])[last], np.cumsum(~positive[order])[last]
