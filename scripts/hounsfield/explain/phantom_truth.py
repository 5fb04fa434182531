"""Where a phantom's findings are: what painting it without the finding changes, on the grid that networks see."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from hounsfield.phantoms.cohort import PhantomScan, paint_scan, plan_cohort
from hounsfield.phantoms.scanner import Position, Reconstruction, to_nifti
from hounsfield.volumes.resample import resample
from hounsfield.volumes.settings import PreprocessingSettings
from hounsfield.volumes.volume import Volume

# Of the largest change; less is the edge that a scanner's blur gives to everything.
CHANGED = 0.25
# From an index (x, y, z) to (z, y, x), and from RAS to LPS.
REVERSED = np.eye(4)[[2, 1, 0, 3]]
RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


class PhantomTruth:
    """Masks of the findings of a demo cohort, painted again from its settings."""

    def __init__(self, demo: Mapping[str, int], seed: int, preprocessing: PreprocessingSettings):
        plan = plan_cohort(demo["patients"], demo["scans"], seed)
        self.volumes = {f"{scan.name}_{n}": (scan, n) for scan in plan for n in range(1, scan.reconstructions + 1)}
        self.seed = seed
        self.settings = replace(preprocessing, dtype="int16", window=None)

    def mask(self, volume: str, finding: str) -> np.ndarray | None:
        """Voxels (z, y, x) that the finding changed; None if the volume lacks it, or it lies outside the grid."""
        scan, number = self.volumes.get(volume, (None, 0))
        if scan is None or scan.labels.get(finding) != 1:
            return None
        with_it, position, reconstruction = paint_scan(scan, number, self.seed)
        without = PhantomScan(scan.patient, scan.rank, scan.labels | {finding: 0}, scan.reconstructions)
        change = np.abs(with_it.hu - paint_scan(without, number, self.seed)[0].hu)
        found = resample(as_volume(change, position, reconstruction), self.settings)
        largest = found.max()
        return found >= CHANGED * largest if largest > 0 else None


def as_volume(values: np.ndarray, position: Position, reconstruction: Reconstruction) -> Volume:
    """Values (z, y, x) on the grid of a painted scan, where its file puts them."""
    image = to_nifti(values, replace(position, orientation="LPS"), reconstruction)
    spacing = (reconstruction.slice, reconstruction.pixel, reconstruction.pixel)
    return Volume(values, spacing, RAS_TO_LPS @ image.affine @ REVERSED)
