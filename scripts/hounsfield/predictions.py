"""Predictions of a model or a baseline as a table."""

import os
from collections.abc import Sequence

import numpy as np
import pandas as pd

from hounsfield.tables import read_table

PREDICTION_COLUMNS = ("volume", "scan", "patient")


def read_predictions(path: str | os.PathLike) -> pd.DataFrame:
    """A table that `prediction_table` made. Raises TableError."""
    return read_table(path, PREDICTION_COLUMNS)


def prediction_table(dataset: pd.DataFrame, pathologies: Sequence[str], logits: np.ndarray) -> pd.DataFrame:
    """Columns volume, scan, patient, then `label {pathology}` and `logit {pathology}`; a row a row of `dataset`.

    logits: (N, P).
    """
    table = dataset[list(PREDICTION_COLUMNS)].reset_index(drop=True)
    labels = {f"label {name}": dataset[name].to_numpy() for name in pathologies}
    # Doubles: the shortest text of a float32 is read back as another double.
    scores = {f"logit {name}": logits[:, column].astype(np.float64) for column, name in enumerate(pathologies)}
    return pd.concat([table, pd.DataFrame(labels), pd.DataFrame(scores)], axis=1)
