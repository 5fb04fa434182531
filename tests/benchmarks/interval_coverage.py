"""What 95 % intervals cover, by simulation: the analytic ones beside the bootstrap's and the textbook's.

    python tests/benchmarks/interval_coverage.py labels [runs]     # every metric of one label, in 27 cells
    python tests/benchmarks/interval_coverage.py macro [runs]      # macro and micro means of six labels

Patients have one to six scans that share half of a score's noise and most of the finding. A line is a cell: scans,
prevalence, true AUROC; the share of test sets that print an interval; then coverage and mean width of each method among
those. Test sets without both kinds are drawn again where nothing is defined.
"""

import sys
from collections import defaultdict
from itertools import product

import numpy as np
from scipy.special import expit, logit
from scipy.stats import norm

from hounsfield.evaluation.analysis import label_estimates, network_estimates
from hounsfield.evaluation.bootstrap import bootstrap
from hounsfield.evaluation.intervals import Estimate, quantile
from hounsfield.evaluation.metrics import PER_PATHOLOGY
from hounsfield.evaluation.predictions import Predictions
from hounsfield.evaluation.settings import EvaluationSettings

SCANS, PREVALENCES, AUROCS = (60, 300, 1500), (0.02, 0.1, 0.4), (0.65, 0.85, 0.97)
MIX = (0.02, 0.05, 0.1, 0.1, 0.3, 0.4)
FINDING_SHARED, NOISE_SHARED = 0.6, 0.5
CONFIDENCE = 0.95
# Each resampled test set takes as long as a hundred analytic ones.
RESAMPLED = 0.15


def draw_patients(random: np.random.Generator, scans: int) -> np.ndarray:
    """Patients (N,) of one to six scans each, numbered from 0."""
    sizes = random.integers(1, 7, scans)
    return np.repeat(np.arange(scans), sizes)[:scans]


def shared(random: np.random.Generator, patients: np.ndarray, share: float) -> np.ndarray:
    """Standard normal noise (N,), a share of its variance the patient's."""
    own = random.normal(size=patients.max() + 1)[patients]
    return np.sqrt(share) * own + np.sqrt(1 - share) * random.normal(size=len(patients))


def draw_labels(random: np.random.Generator, patients: np.ndarray, prevalences) -> np.ndarray:
    """Labels (N, P)."""
    columns = [shared(random, patients, FINDING_SHARED) < norm.ppf(share) for share in prevalences]
    return np.stack(columns, axis=1).astype(float)


def shift_of(auroc: float) -> float:
    """Distance of two normal distributions of variance 1 with that AUROC."""
    return np.sqrt(2) * norm.ppf(auroc)


def draw(random: np.random.Generator, scans: int, prevalences, auroc: float) -> tuple[Predictions, np.ndarray]:
    """Calibrated scores, and what is called present at the best threshold."""
    patients = draw_patients(random, scans)
    labels = draw_labels(random, patients, prevalences)
    noise = np.stack([shared(random, patients, NOISE_SHARED) for _ in prevalences], axis=1)
    return predictions_from(labels, noise, patients, prevalences, auroc)


def predictions_from(labels, noise, patients, prevalences, auroc: float) -> tuple[Predictions, np.ndarray]:
    """Scores of labels and noise (N, P), as calibrated logits, and the calls."""
    shift = shift_of(auroc)
    scores = shift * labels + noise
    logits = shift * scores - shift**2 / 2 + logit(np.asarray(prevalences))
    return Predictions(labels, logits, expit(logits), patients, np.arange(len(labels))), scores >= shift / 2


def truths(prevalence: float, auroc: float) -> dict[str, float]:
    """Every metric of infinitely many scans."""
    shift = shift_of(auroc)
    x = np.linspace(-8, 8 + shift, 100_001)
    positive, negative, step = prevalence * norm.pdf(x, shift), (1 - prevalence) * norm.pdf(x), x[1] - x[0]
    tp, fp = prevalence * norm.sf(x, shift), (1 - prevalence) * norm.sf(x)
    probability = expit(shift * x - shift**2 / 2 + logit(prevalence))
    hit = norm.cdf(shift / 2)
    found, alarms = prevalence * hit, (1 - prevalence) * (1 - hit)
    return {
        "roc_auc": auroc,
        "average_precision": np.sum(positive * tp / (tp + fp)) * step / prevalence,
        "f1": 2 * found / (found + alarms + prevalence),
        "precision": found / (found + alarms),
        "recall": hit,
        "sensitivity": hit,
        "specificity": hit,
        "accuracy": hit,
        "brier": np.sum(positive * (1 - probability) ** 2 + negative * probability**2) * step,
    }


def textbook(estimate: Estimate) -> dict[str, tuple[float, float]]:
    """Intervals from the clustered variance alone: as it is, and on the logit scale (none where the variance is 0)."""
    value, error = estimate.value, np.sqrt(estimate.variance) * quantile(CONFIDENCE, estimate.freedom)
    found = {"normal": (value - error, value + error), "logit": (value, value)}
    if 0 < value < 1:
        reach = error / (value * (1 - value))
        found["logit"] = (expit(logit(value) - reach), expit(logit(value) + reach))
    return found


def label_cell(random, runs: int, scans: int, prevalence: float, auroc: float) -> dict:
    """By metric and method: limits of every run, nan where none is printed."""
    found = defaultdict(list)
    for run in range(runs):
        scores, calls = draw(random, scans, [prevalence], auroc)
        columns = (scores.labels, scores.logits, scores.probabilities, calls)
        size = int(scores.patients.max()) + 1
        estimates = label_estimates(*(each[:, 0] for each in columns), scores.patients, size, CONFIDENCE)
        for metric, estimate in estimates.items():
            found[metric, "analytic"].append(estimate.interval(CONFIDENCE))
            for method, limits in textbook(estimate).items():
                found[metric, method].append(limits)
        if run < RESAMPLED * runs:
            for kind in ("percentile", "bca"):
                result = bootstrap(scores, calls, EvaluationSettings(replicates=500, interval=kind))
                for metric in estimates:
                    found[metric, kind].append(result.column(metric, 0).interval[1:])
    return found


def macro_cell(random, runs: int, scans: int, auroc: float) -> dict:
    """The same of the macro means, relative to the truth of the labels that are in them."""
    found = defaultdict(list)
    truth = [truths(prevalence, auroc) for prevalence in MIX]
    for run in range(runs):
        scores, calls = draw(random, scans, MIX, auroc)
        network = network_estimates(scores, calls, CONFIDENCE)
        results = {}
        if run < RESAMPLED * runs:
            results["percentile"] = bootstrap(scores, calls, EvaluationSettings(replicates=500, interval="percentile"))
        for metric in PER_PATHOLOGY:
            target = np.mean([each[metric] for each, kept in zip(truth, network.labels[metric], strict=True) if kept])
            estimate = network.overall[f"{metric}_macro"]
            limits = {"analytic": estimate.interval(CONFIDENCE)} | textbook(estimate)
            limits |= {kind: each.overall(f"{metric}_macro").interval[1:] for kind, each in results.items()}
            for method, pair in limits.items():
                found[metric, method].append((pair[0] - target, pair[1] - target))
    return found


def report(name: str, found: dict, truth: dict[str, float]) -> None:
    """A line for each metric."""
    for metric in dict.fromkeys(metric for metric, _ in found):
        parts = []
        for (own, method), limits in found.items():
            if own != metric:
                continue
            low, high = np.array(limits, np.float64).T
            printed = ~np.isnan(low)
            if method == "analytic":
                parts.append(f"printed {printed.mean():.2f}")
            if printed.sum() >= 20:
                covered = np.mean((low <= truth[metric]) & (truth[metric] <= high), where=printed)
                parts.append(f"{method} {covered:.3f} {np.mean(high - low, where=printed):.3f}")
        print(f"{metric:18s} {name:16s} {' | '.join(parts)}", flush=True)


def main(which: str = "labels", runs: int = 2000) -> None:
    """Print every cell."""
    random = np.random.default_rng(17)
    if which == "labels":
        for scans, prevalence, auroc in product(SCANS, PREVALENCES, AUROCS):
            found = label_cell(random, int(runs), scans, prevalence, auroc)
            report(f"{scans} {prevalence:g} {auroc:g}", found, truths(prevalence, auroc))
    elif which == "macro":
        for scans, auroc in product(SCANS, AUROCS):
            found = macro_cell(random, int(runs), scans, auroc)
            report(f"{scans} mixed {auroc:g}", found, dict.fromkeys(PER_PATHOLOGY, 0.0))
    else:
        sys.exit(f"{which}: not labels or macro")


if __name__ == "__main__":
    main(*sys.argv[1:])
