"""The pointing game (Zhang et al., 2018): how often the hottest voxel is on the finding, where its place is known."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from scipy.ndimage import distance_transform_edt

COLUMNS = ["pathology", "scans", "hits", "chance"]
SCANS = 8
# A feature map's voxel is coarser than the volume's.
REACH_MM = 15.0

# (volume, pathology) -> voxels (z, y, x) of the finding, or None if it is not there.
Truth = Callable[[str, str], np.ndarray | None]
# (volume, pathology) -> heat (z, y, x).
Heat = Callable[[str, str], np.ndarray]


def pointing_game(
    predictions: pd.DataFrame, pathologies: Sequence[str], truth: Truth, heat: Heat, spacing: Sequence[float]
) -> pd.DataFrame:
    """COLUMNS, a row a pathology: scans tried, hits within REACH_MM, and the share of voxels that would be hits.

    predictions: volume, patient, `label {p}`; the first volumes with the finding are tried, one a patient. spacing: mm
    (z, y, x). A map without any heat is no hit.
    """
    rows = []
    for name in pathologies:
        positive = predictions[predictions[f"label {name}"] == 1].drop_duplicates("patient")
        hits: list[bool] = []
        reached: list[float] = []
        for volume in positive["volume"]:
            mask = truth(volume, name) if len(hits) < SCANS else None
            if mask is None or not mask.any():
                continue
            near = distance_transform_edt(~mask, sampling=spacing) <= REACH_MM
            glow = heat(volume, name)
            hits.append(bool(glow.max() > 0 and near[np.unravel_index(glow.argmax(), glow.shape)]))
            reached.append(near.mean())
        rows.append([name, len(hits), sum(hits), np.mean(reached) if reached else np.nan])
    return pd.DataFrame(rows, columns=COLUMNS)
