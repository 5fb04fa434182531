"""The grids to choose from: one field of view, from the finest voxels worth storing to the coarsest of use."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

COARSENING = 1.03
ANISOTROPY = 2.0
MULTIPLE = 8
PATCH = 16  # of a transformer that names none
COARSEST_LONGEST = 64  # voxels of the longest axis
MARGIN_MM = 5.0


@dataclass(frozen=True)
class Grid:
    """spacing: mm of a voxel; shape: voxels; both along (z, y, x)."""

    spacing: tuple[float, float, float]
    shape: tuple[int, int, int]

    @property
    def voxels(self) -> int:
        """Voxels of a volume."""
        return math.prod(self.shape)

    def __str__(self) -> str:
        return f"{' x '.join(map(str, self.shape))} voxels of {' x '.join(f'{mm:g}' for mm in self.spacing)} mm"


def field_of_view(needed: np.ndarray, extents: np.ndarray) -> np.ndarray:
    """mm along (z, y, x): 95th percentile of what bodies need and a margin, but no more than that of the scans.

    needed, extents: (N, 3), mm.
    """
    return np.minimum(np.quantile(needed, 0.95, axis=0) + 2 * MARGIN_MM, np.quantile(extents, 0.95, axis=0))


def side_multiple(models: Iterable[Mapping[str, Any]]) -> tuple[int, int, int]:
    """What each side of the shape must divide by: MULTIPLE, and the patches of the transformers among `models`."""
    sides = [MULTIPLE] * 3
    for block in models:
        patch = block.get("options", {}).get("patch_size", PATCH) if block["architecture"] == "vit3d" else MULTIPLE
        patches = [patch] * 3 if isinstance(patch, int) else patch
        sides = [math.lcm(side, int(patch)) for side, patch in zip(sides, patches, strict=True)]
    return sides[0], sides[1], sides[2]


def ladder(view: np.ndarray, finest: np.ndarray, multiple: tuple[int, int, int]) -> list[Grid]:
    """Grids that hold the field of view (mm), from `finest` spacing (mm) on, each coarser than the one before.

    Coarser as nnU-Net's low-resolution stage is (Isensee et al., 2021): in small steps, first along the finer axes,
    until no axis has more than twice the spacing of another; then along all.
    """
    spacing = np.array(finest, float)
    grids: list[Grid] = []
    while True:
        grid = _grid(view, spacing, finest, multiple)
        if not grids or grid.voxels < grids[-1].voxels:
            grids.append(grid)
        if max(grid.shape) <= max(COARSEST_LONGEST, *multiple):
            return grids
        uneven = spacing.max() / spacing > ANISOTROPY
        spacing = np.where(uneven if uneven.any() else True, spacing * COARSENING, spacing)


def _grid(view: np.ndarray, spacing: np.ndarray, finest: np.ndarray, multiple: tuple[int, int, int]) -> Grid:
    """The next shape that divides by `multiple`, with voxels that then fill the view, but are not below `finest`."""
    sides = np.array(multiple)
    shape = np.ceil(view / spacing / sides - 1e-6).astype(int) * sides
    filling = np.maximum(view / shape, finest)
    return Grid(tuple(math.ceil(mm * 100) / 100 for mm in filling.tolist()), tuple(shape.tolist()))
