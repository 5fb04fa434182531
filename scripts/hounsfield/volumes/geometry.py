"""Turning arrays so that (z, y, x) run to superior, posterior and left."""

import numpy as np

SMALLEST_STEP_MM, LARGEST_STEP_MM = 0.01, 100.0


def to_lps_zyx(array: np.ndarray, affine_ras: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turn an array indexed (i, j, k), with a NIfTI affine to RAS+ mm, into the closest (z, y, x) LPS view.

    Returns the view (no copy) and its 4x4 affine from index (z, y, x, 1) to LPS+ mm.
    """
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine_ras
    axes = closest_axes(affine[:3, :3])
    order = [axes.index(world) for world in (2, 1, 0)]
    # z to superior, y to posterior and x to left are the positive directions of LPS+.
    signs = [-1 if affine[axes[old], old] < 0 else 1 for old in order]
    turned = np.zeros((4, 4))
    turned[3, 3] = 1
    for new, (old, sign) in enumerate(zip(order, signs, strict=True)):
        turned[old, new] = sign
        turned[old, 3] = array.shape[old] - 1 if sign < 0 else 0
    return array.transpose(order)[tuple(slice(None, None, sign) for sign in signs)], affine @ turned


def closest_axes(directions: np.ndarray) -> list[int]:
    """World axis (0 x, 1 y, 2 z) that each index axis is closest to, each used once; (3, 3) columns are index axes."""
    cosines = np.abs(directions / np.linalg.norm(directions, axis=0))
    axes = [-1, -1, -1]
    for _ in range(3):
        world, index = np.unravel_index(np.argmax(cosines), (3, 3))
        axes[index] = int(world)
        cosines[world, :] = -1
        cosines[:, index] = -1
    return axes


def spacing_of(affine: np.ndarray) -> tuple[float, float, float]:
    """Length in mm of one step along each index axis."""
    i, j, k = (float(step) for step in np.linalg.norm(affine[:3, :3], axis=0))
    return i, j, k


def lps_of_spacing(spacing: tuple[float, float, float]) -> np.ndarray:
    """The affine to RAS+ mm of an array whose header lost its geometry: index (x, y, z) runs along LPS, as DICOM's.

    CT-RATE's first release is such: its second gives the same arrays the DICOM directions.
    """
    z, y, x = spacing
    return np.diag([-x, -y, z, 1.0])


def is_blank(affine: np.ndarray) -> bool:
    """Whether an affine is what writers put where they know nothing: the identity, of RAS or of LPS."""
    return np.array_equal(np.abs(affine), np.eye(4))


def is_sound(affine: np.ndarray) -> bool:
    """Whether an affine is finite, its steps (mm) are those of voxels, and its axes lie in no plane."""
    if not np.isfinite(affine).all():
        return False
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    possible = (steps > SMALLEST_STEP_MM).all() and (steps < LARGEST_STEP_MM).all()
    return bool(possible and abs(np.linalg.det(affine[:3, :3] / steps)) > 0.5)
