"""Cross-validation by simulation: what pooling raw scores of different networks gives, and pairs within folds.

`python tests/benchmarks/folds.py [runs]`: bias of the AUROC, coverage of its 95 % interval and mean width, for patients
with one to three scans, several prevalences and true values. Five folds whose networks differ in scale and offset.
"""

import sys

import numpy as np
import pandas as pd
from scipy.stats import norm

from hounsfield.evaluation.folds import fold_table
from hounsfield.evaluation.settings import EvaluationSettings

FOLDS = 5


def simulated(random, patients, prevalence, shift):
    """Out-of-fold predictions of each fold; scans of a patient share half of the variance."""
    tables = []
    for fold in range(FOLDS):
        owners = np.repeat(np.arange(patients // FOLDS), random.integers(1, 4, patients // FOLDS))
        sick = random.random(patients // FOLDS) < prevalence
        noise = np.sqrt(0.5) * (random.normal(size=len(sick))[owners] + random.normal(size=len(owners)))
        logits = np.exp(0.3 * random.normal()) * (noise + shift * sick[owners]) + 1.5 * random.normal()
        names = [f"f{fold}s{row}" for row in range(len(owners))]
        table = pd.DataFrame({"volume": names, "scan": names, "patient": [f"f{fold}p{owner}" for owner in owners]})
        tables.append(table.assign(**{"label A": sick[owners].astype(float), "logit A": logits}))
    return tables


def main(runs: int = 400, sizes: tuple[int, ...] = (100, 300, 1000)) -> None:
    """Print a line a setting."""
    heads = ("patients", "prevalence", "true", "within", "pooled", "coverage", "width", "empty")
    print(" ".join(f"{head:>10}" for head in heads))
    settings = EvaluationSettings()
    for patients in sizes:
        for prevalence in (0.05, 0.2, 0.4):
            for true in (0.65, 0.85, 0.95):
                random, shift = np.random.default_rng(0), np.sqrt(2) * norm.ppf(true)
                found = []
                for _ in range(runs):
                    folds = simulated(random, patients, prevalence, shift)
                    row = fold_table({"m": {0: [(table, table) for table in folds]}}, ["A"], settings).iloc[0]
                    found.append([row["value"], row["pooled"], row["low"], row["high"]])
                value, pooled, low, high = np.array(found, float).T
                shown = ~np.isnan(low)
                covered = np.mean((low <= true) & (true <= high), where=shown) if shown.any() else np.nan
                cells = np.nanmean(value), np.nanmean(pooled), covered, np.nanmean(high - low), 1 - shown.mean()
                print(f"{patients:10d} {prevalence:10.2f} {true:10.2f} " + " ".join(f"{cell:10.3f}" for cell in cells))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
