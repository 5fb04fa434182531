"""That the 95 % intervals cover the truth where patients have several scans, and intervals over scans do not."""

import numpy as np
import pytest
from scipy.stats import norm

from hounsfield.evaluation.bootstrap import bootstrap
from hounsfield.evaluation.predictions import Predictions, predictions_of
from hounsfield.evaluation.settings import EvaluationSettings

PATIENTS, SCANS, SHIFT, SHARED = 80, 4, 1.0, 0.8
# A score is normal with variance 1 in either kind, most of it the patient's: the AUROC of scans of two patients.
TRUTH = norm.cdf(SHIFT / np.sqrt(2))


def simulate(random):
    """All scans of a patient have the label and share most of the noise."""
    labels = np.repeat((random.random(PATIENTS) < 0.4).astype(float), SCANS)
    patients = np.repeat(np.arange(PATIENTS), SCANS)
    noise = np.sqrt(SHARED) * random.normal(size=PATIENTS)[patients]
    noise += np.sqrt(1 - SHARED) * random.normal(size=len(patients))
    scores = predictions_of(labels[:, None], (SHIFT * labels + noise)[:, None])
    return Predictions(scores.labels, scores.logits, scores.probabilities, patients, scores.units)


def coverage(kind, clustered, trials=1000):
    random = np.random.default_rng(5)
    settings = EvaluationSettings(replicates=320, interval=kind)
    covered = 0
    for _ in range(trials):
        scores = simulate(random)
        if not clustered:
            scores = predictions_of(scores.labels, scores.logits)
        _, low, high = bootstrap(scores, scores.probabilities > 0.5, settings).column("roc_auc", 0)
        covered += low <= TRUTH <= high
    return covered / trials


@pytest.mark.parametrize("kind", ["percentile", "bca"])
def test_intervals_over_patients_cover_the_truth(kind):
    assert 0.93 <= coverage(kind, clustered=True) <= 0.97


def test_intervals_over_scans_do_not():
    assert coverage("percentile", clustered=False, trials=300) < 0.8
