"""Predictions as arrays, at the unit that is scored."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit, log_expit

from hounsfield.errors import TableError


@dataclass(frozen=True)
class Predictions:
    """N scans (or volumes) and P labels.

    labels (N, P): 1, 0, or nan where unknown. logits (N, P) float64, what cases are ranked by. probabilities (N, P):
    of the logits; far from 0 they coincide (1 from logit 37 on) where logits still differ. patients (N,): numbers from
    0. units (N,): names, sorted. folds (N,): where several networks have scored the cases, the number of each one's:
    their logits have no common scale, so that only cases of one fold are ranked against one another.
    """

    labels: np.ndarray
    logits: np.ndarray
    probabilities: np.ndarray
    patients: np.ndarray
    units: np.ndarray
    folds: np.ndarray | None = None

    def take(self, rows: np.ndarray) -> "Predictions":
        """Some of the cases, their patients numbered anew."""
        patients = np.unique(self.patients[rows], return_inverse=True)[1]
        parts = (self.labels, self.logits, self.probabilities)
        folds = None if self.folds is None else self.folds[rows]
        return Predictions(*(part[rows] for part in parts), patients, self.units[rows], folds)


def same_scans(a: Predictions, b: Predictions) -> bool:
    """Whether both are of the same scans, patients and labels."""
    same = np.array_equal(a.units, b.units) and np.array_equal(a.patients, b.patients)
    return same and np.array_equal(a.labels, b.labels, equal_nan=True)


def predictions_of(labels: np.ndarray, logits: np.ndarray) -> Predictions:
    """Cases that all stand for themselves. Raises ValueError if the shapes differ or a label is not 1, 0 or nan."""
    labels, logits = np.asarray(labels, np.float64), np.asarray(logits, np.float64)
    if labels.ndim != 2 or labels.shape != logits.shape:
        raise ValueError(f"labels {labels.shape} and logits {logits.shape} must be (cases, pathologies), the same")
    if not np.all((labels == 0) | (labels == 1) | np.isnan(labels)):
        raise ValueError("labels must be 1, 0, or nan where unknown")
    numbers = np.arange(len(labels))
    return Predictions(labels, logits, expit(logits), numbers, numbers)


def prediction_arrays(predictions: pd.DataFrame, pathologies: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Labels and logits (volumes, P). Raises TableError if a column is missing or a logit is not finite."""
    for name in pathologies:
        absent = [column for column in (f"label {name}", f"logit {name}") if column not in predictions]
        if absent:
            raise TableError(f"predictions: lack the column {absent[0]!r}; predict again")
    labels, logits = (
        predictions[[f"{kind} {name}" for name in pathologies]].to_numpy(np.float64) for kind in ("label", "logit")
    )
    bad = np.argwhere(~np.isfinite(logits))
    if len(bad):
        row, column = bad[0]
        volume = predictions["volume"].iloc[row]
        raise TableError(
            f"predictions: no finite logit of {pathologies[column]!r} for volume {volume}; train the model again"
        )
    return labels, logits


def gather_predictions(predictions: pd.DataFrame, pathologies: Sequence[str], level: str) -> Predictions:
    """Scores of each scan (the mean probability of its reconstructions) or each volume, sorted by name.

    predictions: columns volume, scan, patient, `label {p}`, `logit {p}`. Raises TableError if a column is missing, or
    reconstructions of a scan differ in a label.
    """
    labels, raw = prediction_arrays(predictions, pathologies)
    codes, units = pd.factorize(predictions[level].astype(str), sort=True)
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    # fmax and fmin pass over nan: a label known of one reconstruction is known of the scan.
    highest, lowest = (function.reduceat(labels[order], starts) for function in (np.fmax, np.fmin))
    conflict = np.argwhere(highest > lowest)
    if len(conflict):
        scan, column = conflict[0]
        raise TableError(
            f"predictions: scan {units[scan]} has reconstructions labelled 1 and 0 of {pathologies[column]!r}; "
            "mend the labels, or set evaluation.level: volume"
        )
    logits = mean_logits(raw[order], starts)
    owners = predictions["patient"].astype(str).to_numpy()[order][starts]
    return Predictions(highest, logits, expit(logits), pd.factorize(owners)[0], np.asarray(units))


def mean_logits(logits: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The logit of each group's mean probability; groups are rows (G, P) beginning at `starts`, one after another."""
    if len(starts) == len(logits):
        return logits
    positive, negative = (np.logaddexp.reduceat(log_expit(sign * logits), starts) for sign in (1, -1))
    # A group of one keeps its logit to the last bit, so that ties stay ties.
    single = np.diff(starts, append=len(logits)) == 1
    return np.where(single[:, None], logits[starts], positive - negative)
