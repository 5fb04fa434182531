"""Bootstrap intervals: patients are drawn, as the scans of one patient are no independent samples."""

import numpy as np


def patient_weights(patients: np.ndarray, replicates: int, seed: int) -> np.ndarray:
    """(R, N): how often each case is in each resample of as many patients as there are, with replacement."""
    n_patients = int(patients.max()) + 1 if len(patients) else 0
    random = np.random.default_rng(seed)
    counts = random.multinomial(n_patients, np.full(n_patients, 1 / n_patients), size=replicates)
    return counts[:, patients].astype(np.float64)


def percentile_interval(samples: np.ndarray, confidence: float) -> tuple[float, float]:
    """Lower and upper percentile of bootstrap samples (R,), undefined ones left out; nan if none is defined."""
    samples = samples[~np.isnan(samples)]
    if samples.size == 0:
        return float("nan"), float("nan")
    low, high = np.quantile(samples, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
