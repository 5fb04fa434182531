"""A CT volume in Hounsfield units, and the error that says why there is none."""

import os
from dataclasses import dataclass

import numpy as np

from hounsfield.errors import HounsfieldError


class VolumeError(HounsfieldError):
    """A volume that cannot be used.

    `reason` is one of a fixed set of short words (`truncated`, `not_hu`, `missing_slice`, ...) that tables and tests
    rely on; `detail` tells a person what was found and what to do.
    """

    def __init__(self, reason: str, detail: str, path: str | os.PathLike = ""):
        self.reason = reason
        self.detail = detail
        self.path = str(path)
        super().__init__(f"{self.path}: {reason}: {detail}")

    def __reduce__(self) -> tuple:
        return type(self), (self.reason, self.detail, self.path)


@dataclass(frozen=True)
class Volume:
    """One CT volume.

    hu: (z, y, x) in HU; z runs to superior, y to posterior, x to the patient's left. int16 where that is exact.
    spacing: mm along (z, y, x).
    affine: 4x4, from index (z, y, x, 1) to LPS+ mm.
    hu_source: how HU were found, such as `header` or `table`.
    orientation: the patient directions to which the file's own axes run, such as LPS; empty where unknown.
    """

    hu: np.ndarray
    spacing: tuple[float, float, float]
    affine: np.ndarray
    hu_source: str = "header"
    orientation: str = ""

    @property
    def axis_aligned(self) -> bool:
        """Whether the index axes run along the patient's, up to a thousandth of the spacing."""
        directions = self.affine[:3, :3] / np.linalg.norm(self.affine[:3, :3], axis=0)
        return bool(np.allclose(np.abs(directions[::-1]), np.eye(3), atol=1e-3))
