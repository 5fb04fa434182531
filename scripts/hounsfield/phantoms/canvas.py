"""A grid in patient millimetres, and soft-edged shapes blended onto it."""

from dataclasses import dataclass

import numpy as np

AIR_HU = -1000.0


@dataclass(frozen=True)
class Canvas:
    """HU (z, y, x) float32 on a regular grid; z, y, x: 1-D ascending voxel centres in LPS mm of the thorax.

    soft: width in mm over which an edge fades, standing for the point spread of the scanner.
    """

    hu: np.ndarray
    z: np.ndarray
    y: np.ndarray
    x: np.ndarray
    soft: float

    @classmethod
    def empty(cls, z: np.ndarray, y: np.ndarray, x: np.ndarray, soft: float) -> "Canvas":
        """A canvas of air."""
        axes = [np.asarray(axis, np.float32) for axis in (z, y, x)]
        return cls(np.full([len(axis) for axis in axes], AIR_HU, np.float32), *axes, soft)

    def coordinates(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """x, y, z in mm, shaped to broadcast over (z, y, x)."""
        return self.x[None, None, :], self.y[None, :, None], self.z[:, None, None]

    def crop(self, low: np.ndarray, high: np.ndarray) -> "Canvas":
        """The view between two corners (x, y, z) in mm, and an edge's width more; it shares this one's HU."""
        slices = []
        for axis, start, end in zip((self.z, self.y, self.x), low[::-1], high[::-1], strict=True):
            first, last = np.searchsorted(axis, (start - self.soft, end + self.soft))
            slices.append(slice(int(first), int(last)))
        place = tuple(slices)
        axes = (axis[part] for axis, part in zip((self.z, self.y, self.x), place, strict=True))
        return Canvas(self.hu[place], *axes, self.soft)

    def window(self, part: "Canvas", field: np.ndarray) -> np.ndarray:
        """What of `field`, shaped as this canvas, lies under `part`, a crop of it."""
        slices = []
        for whole, piece in zip((self.z, self.y, self.x), (part.z, part.y, part.x), strict=True):
            first = int(np.searchsorted(whole, piece[0])) if len(piece) else 0
            slices.append(slice(first, first + len(piece)))
        return field[tuple(slices)]

    def inside(self, distance: np.ndarray) -> np.ndarray:
        """Share of each voxel inside a surface, from its signed distance in mm (negative inside)."""
        return np.clip(np.float32(0.5) - distance * np.float32(1 / self.soft), 0, 1)

    def blend(self, weight: np.ndarray, value: float | np.ndarray) -> None:
        """Move the HU towards `value` by `weight` in [0, 1], which broadcasts over (z, y, x)."""
        self.hu[...] += weight * (np.asarray(value, np.float32) - self.hu)


def sphere_distance(canvas: Canvas, centre: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Approximate signed distance in mm to an ellipsoid; centre and radii are (x, y, z) in mm."""
    parts = [(p - np.float32(c)) / np.float32(r) for p, c, r in zip(canvas.coordinates(), centre, radii, strict=True)]
    rho = np.sqrt(parts[0] ** 2 + parts[1] ** 2 + parts[2] ** 2)
    return (rho - 1) * np.float32(min(radii))


def capsule_distance(canvas: Canvas, start: np.ndarray, end: np.ndarray, radius: float) -> np.ndarray:
    """Signed distance in mm to a rod with round ends; start and end are (x, y, z) in mm."""
    along = (end - start).astype(np.float32)
    p = [axis - np.float32(c) for axis, c in zip(canvas.coordinates(), start, strict=True)]
    length2 = np.float32(max(float(along @ along), 1e-6))
    t = np.clip((p[0] * along[0] + p[1] * along[1] + p[2] * along[2]) / length2, 0, 1)
    squares = sum((axis - t * step) ** 2 for axis, step in zip(p, along, strict=True))
    return np.sqrt(squares) - np.float32(radius)


def oval_distance(x: np.ndarray, y: np.ndarray, half_x: float, half_y: float, power: float) -> np.ndarray:
    """Radial signed distance in mm to |x / half_x|^power + |y / half_y|^power = 1."""
    rho = (np.abs(x / half_x) ** power + np.abs(y / half_y) ** power) ** (1 / power)
    rho = np.maximum(rho, 1e-3)
    return np.hypot(x, y) * (1 - 1 / rho) - (rho <= 1e-3) * half_y
