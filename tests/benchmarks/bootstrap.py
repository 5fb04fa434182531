"""Speed of the patient bootstrap against a loop over scikit-learn on the same resamples.

    python tests/benchmarks/bootstrap.py [scans] [pathologies] [replicates]

The loop is timed on a few resamples, whose values are also compared, and its whole time extrapolated from them.
"""

import resource
import sys
import time

import numpy as np
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from hounsfield.evaluation.bootstrap import Bootstrap, bootstrap, bootstrap_blocks
from hounsfield.evaluation.predictions import Predictions, predictions_of
from hounsfield.evaluation.settings import EvaluationSettings

LOOPED = 3


def main(scans: int = 3000, pathologies: int = 18, replicates: int = 2000) -> None:
    """Print the seconds of both, their ratio, the largest difference between their values, and the peak memory."""
    scores = simulate(scans, pathologies)
    decisions = scores.probabilities >= 0.5
    settings = EvaluationSettings(replicates=replicates)
    bootstrap(scores.take(np.arange(100)), decisions[:100], settings)  # compiles
    started = time.perf_counter()
    result = bootstrap(scores, decisions, settings)
    seconds = time.perf_counter() - started
    loop, worst = loop_over_sklearn(scores, decisions, result)
    whole = loop / LOOPED * replicates
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{scans} scans x {pathologies} pathologies x {replicates} resamples, AUROC, AP, threshold metrics, micro")
    print(f"blocks {seconds:.1f} s; scikit-learn loop {whole:.0f} s (from {LOOPED} resamples); {whole / seconds:.0f}x")
    print(f"largest difference {worst:.1e}; peak memory {peak:.0f} MB")


def simulate(scans: int, pathologies: int) -> Predictions:
    """Scans of half as many patients, a fifth of the labels positive."""
    random = np.random.default_rng(0)
    labels = (random.random((scans, pathologies)) < 0.2).astype(float)
    scores = predictions_of(labels, random.normal(labels, 1))
    patients = np.unique(random.integers(0, scans // 2, scans), return_inverse=True)[1]
    return Predictions(scores.labels, scores.logits, scores.probabilities, patients, scores.units)


def loop_over_sklearn(scores: Predictions, decisions: np.ndarray, result: Bootstrap) -> tuple[float, float]:
    """Seconds of AUROC, average precision and F1 alone on the first resamples, and the largest difference."""
    weights = next(bootstrap_blocks(scores.patients, len(result.resamples.overall["accuracy"]), 0))
    metrics = {"roc_auc": roc_auc_score, "average_precision": average_precision_score, "f1": f1_score}
    worst, started = 0.0, time.perf_counter()
    for r in range(LOOPED):
        rows = np.repeat(np.arange(len(weights)), weights[:, r])
        for j in range(decisions.shape[1]):
            for name, function in metrics.items():
                given = decisions if name == "f1" else scores.logits
                value = function(scores.labels[rows, j], given[rows, j])
                worst = max(worst, abs(value - result.resamples.columns[name][r, j]))
    return time.perf_counter() - started, worst


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
