"""Resamples of patients, in blocks of bounded memory: the scans of one patient are no independent samples."""

from collections.abc import Iterator

import numba
import numpy as np

# 64 resamples of 50,000 scans are 6 MB, and a case's weights in all of them two cache lines.
BLOCK = 64
JACKKNIFE_GROUPS = 400


def bootstrap_blocks(patients: np.ndarray, replicates: int, seed: int) -> Iterator[np.ndarray]:
    """Blocks (N, up to 64) uint16: how often each case is in each resample of as many patients, with replacement.

    Depends on the patients' numbers (N,), which run from 0, and on the seed alone.
    """
    n_patients = int(patients.max()) + 1 if len(patients) else 0
    for number, start in enumerate(range(0, replicates, BLOCK)):
        width = min(BLOCK, replicates - start)
        random = np.random.default_rng([seed, number])
        counts = np.zeros((n_patients, width), np.uint16)
        if n_patients:
            _count(random.integers(n_patients, size=(width, n_patients), dtype=np.int32), counts)
        yield counts[patients]


def jackknife_blocks(patients: np.ndarray, groups: int = JACKKNIFE_GROUPS) -> Iterator[np.ndarray]:
    """Blocks (N, up to 64) uint16 of the samples that each leave one group of patients out."""
    n_patients = int(patients.max()) + 1 if len(patients) else 0
    groups = min(groups, n_patients)
    group = (np.arange(n_patients) % max(groups, 1))[patients]
    for start in range(0, groups, BLOCK):
        left_out = np.arange(start, min(start + BLOCK, groups))
        yield (group[:, None] != left_out).astype(np.uint16)


@numba.njit(cache=True, nogil=True)
def _count(drawn, counts):
    for resample in range(drawn.shape[0]):
        for patient in drawn[resample]:
            counts[patient, resample] += 1
