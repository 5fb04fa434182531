"""How often equal methods are called different, and unequal ones are found so, by simulation.

    python tests/benchmarks/false_findings.py [runs]

Seeds: two methods whose trainings scatter by an AUROC of 0.02 around 0.85, 1,500 scans, one label of 20 %. Family: four
equal networks, six labels. Leaks: a baseline that knows nothing, 6 and 18 labels. "before" is the percentile bootstrap
of means over the seeds, each row by itself.
"""

import sys
from pathlib import Path

import numpy as np
from scipy.special import expit

sys.path.insert(0, str(Path(__file__).parent))
from interval_coverage import draw_labels, draw_patients, shared, shift_of

from hounsfield.evaluation.analysis import analyse, mean_over_seeds
from hounsfield.evaluation.multiplicity import adjusted
from hounsfield.evaluation.pairs import MACRO, pair_table
from hounsfield.evaluation.predictions import Predictions
from hounsfield.evaluation.settings import EvaluationSettings

ANALYTIC = EvaluationSettings(margin=0.03)
RESAMPLES = EvaluationSettings(interval="percentile", replicates=500)
SEED_SPREAD, COMMON, PREVALENCE = 0.02, 0.6, 0.2


def scores_of(random, labels, patients, common, aurocs) -> Predictions:
    """A network's scores of AUROCs (P,); a share of the noise is `common` (N, P) to all networks."""
    own = np.stack([shared(random, patients, 0.5) for _ in range(labels.shape[1])], axis=1)
    logits = shift_of(np.asarray(aurocs)) * labels + np.sqrt(COMMON) * common + np.sqrt(1 - COMMON) * own
    return Predictions(labels, logits, expit(logits), patients, np.arange(len(labels)))


def draw_test(random, scans, p):
    """Labels, patients and the networks' common noise."""
    patients = draw_patients(random, scans)
    labels = draw_labels(random, patients, [PREVALENCE] * p)
    return labels, patients, np.stack([shared(random, patients, 0.5) for _ in range(p)], axis=1)


def seeds(random, runs: int, trainings: int, gap: float, spread: float, settings) -> np.ndarray:
    """p (runs,) of two methods, `gap` apart."""
    found = []
    for _ in range(runs):
        test = draw_test(random, 1500, 1)
        results = []
        for shift in (gap / 2, -gap / 2):
            aurocs = 0.85 + shift + spread * random.normal(size=trainings)
            each = [scores_of(random, *test, [min(auroc, 0.995)]) for auroc in aurocs]
            results.append(mean_over_seeds([analyse(one, one.probabilities > 0.5, settings) for one in each]))
        found.append(results[0].minus(results[1]).column("roc_auc", 0).p)
    return np.array(found)


def family(random, runs: int, settings) -> dict[str, float]:
    """Shares of runs of four equal networks with a false finding of each kind."""
    names = [f"label {j}" for j in range(6)]
    bold = corrected = headline = 0
    for _ in range(runs):
        test = draw_test(random, 600, 6)
        each = {f"m{k}": scores_of(random, *test, [0.85] * 6) for k in range(4)}
        results = {name: analyse(one, one.probabilities > 0.5, settings) for name, one in each.items()}
        table = pair_table(results, names, settings)
        bold += ((table["low"] > 0) | (table["high"] < 0))[table["metric"] == "roc_auc"].any()
        corrected += (table["p_adjusted"] < 0.05).any()
        main = (table["pathology"] == MACRO) & (table["metric"] == "roc_auc")
        headline += (table.loc[main, "p_adjusted"] < 0.05).any()
    return {"an interval leaves zero out": bold / runs, "corrected": corrected / runs, "headline": headline / runs}


def leaks(random, runs: int, labels: int) -> tuple[float, float]:
    """Shares of runs in which a label of pure noise is called a leak, each by itself and corrected."""
    alone = together = 0
    for _ in range(runs):
        test = draw_test(random, 300, labels)
        one = scores_of(random, *test, [0.5] * labels)
        result = analyse(one, one.probabilities > 0.5, ANALYTIC)
        found = [result.column("roc_auc", j) for j in range(labels)]
        p = np.array([2 * min(each.p_above(0.5), each.p_below(0.5)) for each in found])
        alone += any(each.interval.low > 0.5 or each.interval.high < 0.5 for each in found)
        moved = np.stack([result.deviations("roc_auc", j)[0] for j in range(labels)], axis=1)
        together += bool(np.any(adjusted(p, moved) < 0.05))
    return alone / runs, together / runs


def main(runs: int = 1000) -> None:
    """Print all."""
    random = np.random.default_rng(23)
    few = max(int(runs) // 4, 20)
    print("two equal networks, one training each, no scatter")
    print(f"  now {np.mean(seeds(random, int(runs), 1, 0.0, 0.0, ANALYTIC) < 0.05):.3f}", flush=True)
    print(f"  before {np.mean(seeds(random, few, 1, 0.0, 0.0, RESAMPLES) < 0.05):.3f}", flush=True)
    for trainings in (1, 2, 3, 5, 10):
        now = np.mean(seeds(random, int(runs), trainings, 0.0, SEED_SPREAD, ANALYTIC) < 0.05)
        power = [np.mean(seeds(random, few, trainings, gap, SEED_SPREAD, ANALYTIC) < 0.05) for gap in (0.03, 0.06)]
        print(
            f"equal methods, {trainings} trainings: now {now:.3f}; power at 0.03, 0.06: {power[0]:.2f}, {power[1]:.2f}"
        )
        before = np.mean(seeds(random, few, trainings, 0.0, SEED_SPREAD, RESAMPLES) < 0.05)
        print(f"  before {before:.3f}", flush=True)
    shown = family(random, int(runs), ANALYTIC)
    print("four equal networks, six labels: " + ", ".join(f"{name} {share:.3f}" for name, share in shown.items()))
    for labels in (6, 18):
        alone, together = leaks(random, int(runs), labels)
        print(f"noise called a leak, {labels} labels: each by itself {alone:.3f}, corrected {together:.3f}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
