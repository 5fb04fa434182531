"""One linear resample to the target spacing, then crop or pad to the target shape, air outside the scan.

The grid is MONAI's (`Orientationd("LPS")`, `Spacingd(mode="bilinear", padding_mode="border", align_corners=False)`,
`ResizeWithPadOrCropd(constant_values=-1000)`); only the voxels that are kept are computed.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import affine_transform, convolve1d

from hounsfield.compiled import njit
from hounsfield.volumes.settings import AIR_HU, PreprocessingSettings
from hounsfield.volumes.volume import Volume

# An axis may drift from the patient's by this much over the whole volume and still be taken for aligned.
MAX_DRIFT_VOXELS = 0.01


@dataclass(frozen=True)
class Taps:
    """Linear weights along one axis.

    Output voxel `start + i` is the sum over k of weights[i, k] times source voxel first[i] + k; voxels before `start`
    and after the last are outside the scan.
    """

    start: int
    first: np.ndarray
    weights: np.ndarray


def resample(volume: Volume, settings: PreprocessingSettings) -> np.ndarray:
    """Bring `volume` to `settings.spacing` mm and `settings.shape` voxels, in `settings.dtype`, (z, y, x)."""
    if is_axis_aligned(volume):
        return _resample_separable(volume, settings)
    return _resample_general(volume, settings)


def is_axis_aligned(volume: Volume) -> bool:
    """Whether each index axis runs along its patient axis, within a hundredth of a voxel over the whole volume."""
    matrix = volume.affine[:3, :3][::-1]  # rows z, y, x in mm, as the columns are
    drift = np.abs(matrix) * np.asarray(volume.hu.shape) / np.asarray(volume.spacing)[:, None]
    np.fill_diagonal(drift, 0)
    return bool(drift.max() < MAX_DRIFT_VOXELS)


def placement(n_resampled: int, n_target: int) -> int:
    """Index of the first target voxel within the resampled axis; negative where air is padded before it.

    MONAI pads the smaller half before, and crops about n // 2.
    """
    if n_resampled < n_target:
        return -((n_target - n_resampled) // 2)
    return n_resampled // 2 - n_target // 2


def resampled_length(n: int, spacing: float, target_spacing: float) -> int:
    """Voxels of an axis of `n` voxels at the target spacing; both spacings in mm. Halves go to the even number.

    Halves are common (0.7 to 1.4 mm), and the last bits of a division must not decide them. They do in MONAI, which
    gives three equal axes of such a volume different lengths; elsewhere it gives these.
    """
    return int(np.round(np.round((n - 1) * spacing / target_spacing + 1, 6)))


def linear_taps(n: int, spacing: float, target_spacing: float, n_target: int, antialias: bool) -> Taps:
    """Weights that take an axis of `n` voxels at `spacing` mm to `n_target` voxels at `target_spacing` mm."""
    n_resampled = resampled_length(n, spacing, target_spacing)
    begin = placement(n_resampled, n_target)
    inside = np.arange(max(begin, 0), min(begin + n_target, n_resampled))
    scale = target_spacing / spacing
    centre = np.minimum(inside * scale, n - 1)
    # A triangle as wide as the output voxel; one source voxel wide, it is linear interpolation.
    radius = max(scale, 1.0) if antialias else 1.0
    count = min(int(np.ceil(2 * radius)) + (1 if radius > 1 else 0), n)
    first = np.clip(np.floor(centre - radius).astype(np.int64) + 1, 0, n - count)
    distance = np.abs(first[:, None] + np.arange(count) - centre[:, None])
    weights = np.maximum(1 - distance / radius, 0)
    weights /= weights.sum(axis=1, keepdims=True)
    return Taps(max(-begin, 0), first, weights.astype(np.float32))


def _resample_separable(volume: Volume, settings: PreprocessingSettings) -> np.ndarray:
    """Slice by slice: rows, then columns, then a weighted sum of the few planes in reach of each output plane."""
    target = np.full(settings.shape, settings.encode(np.array(AIR_HU, np.float32)), settings.dtype)
    lengths = zip(volume.hu.shape, volume.spacing, settings.spacing, settings.shape, strict=True)
    z, y, x = (linear_taps(*axis, settings.antialias) for axis in lengths)
    place = (slice(y.start, y.start + len(y.first)), slice(x.start, x.start + len(x.first)))
    planes: dict[int, np.ndarray] = {}
    for index, (first, weights) in enumerate(zip(z.first, z.weights, strict=True)):
        planes = {source: plane for source, plane in planes.items() if source >= first}
        total = np.zeros((len(y.first), len(x.first)), np.float32)
        for source, weight in zip(range(first, first + len(weights)), weights, strict=True):
            if weight:
                if source not in planes:
                    plane = np.ascontiguousarray(volume.hu[source])
                    planes[source] = _resample_plane(plane, y.first, y.weights, x.first, x.weights)
                _accumulate(total, planes[source], weight)
        target[z.start + index][place] = settings.encode(total)
    return target


@njit(nogil=True)
def _accumulate(total: np.ndarray, plane: np.ndarray, weight: float) -> None:
    for j in range(total.shape[0]):
        for i in range(total.shape[1]):
            total[j, i] += weight * plane[j, i]


@njit(nogil=True)
def _resample_plane(
    plane: np.ndarray, y_first: np.ndarray, y_weights: np.ndarray, x_first: np.ndarray, x_weights: np.ndarray
) -> np.ndarray:
    out = np.empty((y_first.size, x_first.size), np.float32)
    low, high = x_first[0], x_first[-1] + x_weights.shape[1]
    row = np.empty(plane.shape[1], np.float32)
    for j in range(y_first.size):
        row[low:high] = 0
        for k in range(y_weights.shape[1]):
            weight, source = y_weights[j, k], plane[y_first[j] + k]
            for i in range(low, high):
                row[i] += weight * source[i]
        if x_weights.shape[1] == 2:  # the usual case, which the compiler then vectorises
            for i in range(x_first.size):
                first = x_first[i]
                out[j, i] = x_weights[i, 0] * row[first] + x_weights[i, 1] * row[first + 1]
        else:
            for i in range(x_first.size):
                value = np.float32(0)
                for k in range(x_weights.shape[1]):
                    value += x_weights[i, k] * row[x_first[i] + k]
                out[j, i] = value
    return out


def _resample_general(volume: Volume, settings: PreprocessingSettings) -> np.ndarray:
    """Oblique or sheared: the target grid keeps the rotation and loses the shear, as MONAI's `zoom_affine` does."""
    source = _reversed_axes(volume.affine)
    target, length = general_grid(source, volume.hu.shape[::-1], settings.spacing[::-1])
    begin = np.array([placement(n, m) for n, m in zip(length, settings.shape[::-1], strict=True)])
    target[:3, 3] += target[:3, :3] @ begin
    to_source = _reversed_axes(np.linalg.solve(source, target), rows=True)
    hu = volume.hu.astype(np.float32)
    if settings.antialias:
        hu = _smooth(hu, np.divide(settings.spacing, volume.spacing))
    hu = affine_transform(
        hu,
        to_source[:3, :3],
        to_source[:3, 3],
        output_shape=settings.shape,
        output=np.float32,
        order=1,
        mode="nearest",
    )
    for axis, (first, n) in enumerate(zip(begin[::-1], length[::-1], strict=True)):
        index = np.arange(settings.shape[axis]) + first
        np.moveaxis(hu, axis, 0)[(index < 0) | (index >= n)] = AIR_HU
    return settings.encode(hu)


def _smooth(hu: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Averages by a triangle as wide as the output voxel, along the source's axes: those that are sampled down."""
    for axis, scale in enumerate(scales):
        if scale > 1:
            reach = int(np.ceil(scale)) - 1
            weights = 1 - np.abs(np.arange(-reach, reach + 1)) / scale
            hu = convolve1d(hu, weights / weights.sum(), axis=axis, mode="nearest")
    return hu


def general_grid(affine: np.ndarray, shape: tuple, spacing: tuple) -> tuple[np.ndarray, np.ndarray]:
    """MONAI's output affine and shape for `Spacingd`, all in (x, y, z) order, mm.

    Follows `monai.data.utils.zoom_affine` and `compute_shape_offset`.
    """
    matrix = affine[:3, :3]
    triangular = np.linalg.cholesky(matrix.T @ matrix).T
    target = np.eye(4)
    target[:3, :3] = matrix @ np.linalg.inv(triangular) @ np.diag(spacing)
    ends = [(0.0, n - 1.0) for n in shape]
    corners = np.stack([c.ravel() for c in np.meshgrid(*ends, indexing="ij")])
    reached = np.linalg.solve(target[:3, :3], matrix @ corners)
    length = np.round(np.ptp(reached, axis=1) + 1).astype(int)
    smallest = np.isclose(reached, reached.min(axis=1, keepdims=True), atol=1e-6).all(axis=0)
    if smallest.any():
        target[:3, 3] = affine[:3, 3] + matrix @ corners[:, smallest.argmax()]
    else:  # sheared so that no corner is the least on every axis: the centres meet
        target[:3, 3] = affine[:3, 3] + matrix @ np.divide(shape, 2) - target[:3, :3] @ (length / 2)
    return target, length


def _reversed_axes(affine: np.ndarray, rows: bool = False) -> np.ndarray:
    """The same map for reversed index order (z, y, x) <-> (x, y, z); `rows` too for index-to-index maps."""
    turned = affine.copy()
    turned[:3, :3] = affine[:3, 2::-1]
    if rows:
        turned[:3] = turned[2::-1].copy()
    return turned
