"""Predictions as arrays, at the unit that is scored."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit

from hounsfield.errors import TableError


@dataclass(frozen=True)
class Scores:
    """labels (N, P): 1, 0, or nan where unknown. probabilities (N, P). patients (N,): numbers. units (N,): names."""

    labels: np.ndarray
    probabilities: np.ndarray
    patients: np.ndarray
    units: np.ndarray


def gather_scores(predictions: pd.DataFrame, pathologies: Sequence[str], level: str) -> Scores:
    """Scores of each scan (the mean probability of its reconstructions) or each volume, sorted by name.

    predictions: columns volume, scan, patient, `label {p}`, `logit {p}`. Raises TableError if one is missing.
    """
    for name in pathologies:
        absent = [column for column in (f"label {name}", f"logit {name}") if column not in predictions]
        if absent:
            raise TableError(f"predictions: lack the column {absent[0]!r}; predict again")
    labels = predictions[[f"label {name}" for name in pathologies]].astype(float)
    probabilities = predictions[[f"logit {name}" for name in pathologies]].astype(float).apply(expit)
    groups = predictions[level].to_numpy()
    labels, probabilities = (frame.groupby(groups).mean() for frame in (labels, probabilities))
    patient_of = predictions.drop_duplicates(level).set_index(level)["patient"].loc[labels.index]
    return Scores(labels.to_numpy(), probabilities.to_numpy(), pd.factorize(patient_of)[0], labels.index.to_numpy())
