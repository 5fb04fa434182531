"""One trained model's predictions, made ready to be scored: calibrated, gathered, with thresholds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hounsfield.evaluation.calibration import Calibration, fit_calibration
from hounsfield.evaluation.predictions import Predictions, gather_predictions, prediction_arrays
from hounsfield.evaluation.settings import EvaluationSettings
from hounsfield.evaluation.thresholds import choose_thresholds


@dataclass(frozen=True)
class ScoredModel:
    """Predictions of both splits; calibration and thresholds (P,) come from validation alone."""

    validation: Predictions
    test: Predictions
    thresholds: np.ndarray
    calibration: Calibration

    @property
    def decisions(self) -> np.ndarray:
        """(N, P): the findings called present in the test split."""
        return self.test.probabilities >= self.thresholds


def prepare_model(
    val: pd.DataFrame, test: pd.DataFrame, pathologies: Sequence[str], settings: EvaluationSettings
) -> ScoredModel:
    """Raises TableError if predictions lack a column or a logit, or reconstructions of a scan differ in a label."""
    calibration = fit_calibration(*prediction_arrays(val, pathologies), settings.calibration)
    splits = []
    for table in (val, test):
        logits = calibration.apply(prediction_arrays(table, pathologies)[1])
        splits.append(gather_predictions(table, pathologies, settings.level, logits))
    return ScoredModel(*splits, choose_thresholds(splits[0], settings), calibration)
