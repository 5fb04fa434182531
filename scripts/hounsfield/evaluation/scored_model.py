"""One trained model's predictions, made ready to be scored: calibrated, gathered, with thresholds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.special import expit

from hounsfield.evaluation.calibration import Calibration, fit_calibration
from hounsfield.evaluation.predictions import Predictions, gather_predictions
from hounsfield.evaluation.settings import EvaluationSettings
from hounsfield.evaluation.thresholds import choose_thresholds


@dataclass(frozen=True)
class ScoredModel:
    """Predictions of both splits; calibration and thresholds (P,) come from validation alone.

    calibration maps the logits of what is scored: of a scan, that of the mean probability of its reconstructions.
    """

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
    return calibrated_model(
        *(gather_predictions(table, pathologies, settings.level) for table in (val, test)), settings
    )


def calibrated_model(validation: Predictions, test: Predictions, settings: EvaluationSettings) -> ScoredModel:
    """Calibration and thresholds of raw predictions, fitted on validation at the unit that is scored."""
    calibration = fit_calibration(validation.labels, validation.logits, settings.calibration)
    validation, test = (
        replace(scores, logits=logits, probabilities=expit(logits))
        for scores, logits in ((scores, calibration.apply(scores.logits)) for scores in (validation, test))
    )
    return ScoredModel(validation, test, choose_thresholds(validation, settings), calibration)
