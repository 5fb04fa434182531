"""Predictions for the tests of the evaluation."""

import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def make_predictions():
    """A function that makes predictions of pathologies A, B and C: patients with one or two scans, scans with one or
    two volumes, labels of the scan (a few unknown), and logits that tell the labels more or less (`skill`)."""

    def make(seed=0, patients=40, skill=1.0, cohort=0, prefix="p"):
        fixed, free = np.random.default_rng(cohort), np.random.default_rng([seed, cohort])
        rows = []
        for patient in range(patients):
            for scan in "ab"[: fixed.integers(1, 3)]:
                labels = (fixed.random(3) < 0.4).astype(float)
                labels[fixed.random(3) < 0.1] = np.nan
                for volume in range(fixed.integers(1, 3)):
                    name = f"{prefix}{patient}_{scan}"
                    row = {"volume": f"{name}_{volume}", "scan": name, "patient": f"{prefix}{patient}"}
                    row |= {f"label {p}": label for p, label in zip("ABC", labels, strict=True)}
                    logits = free.normal(skill * np.nan_to_num(labels), 1)
                    rows.append(row | {f"logit {p}": value for p, value in zip("ABC", logits, strict=True)})
        return pd.DataFrame(rows)

    return make
