"""Six findings, painted on a phantom's chest, each from a stream of its own, so that none moves another."""

from collections.abc import Mapping

import numpy as np

from hounsfield.phantoms.anatomy import (
    LARGEST_HEART,
    Anatomy,
    paint_anatomy,
    paint_ellipsoid,
    paint_rod,
)
from hounsfield.phantoms.canvas import Canvas, sphere_distance

# Each finding's share of patients; its place here numbers its stream.
PREVALENCES = {
    "Lung nodule": 0.4,
    "Pleural effusion": 0.35,
    "Cardiomegaly": 0.38,
    "Emphysema": 0.35,
    "Consolidation": 0.35,
    "Coronary artery wall calcification": 0.42,
}


def paint_chest(canvas: Canvas, anatomy: Anatomy, labels: Mapping[str, int], streams: Mapping) -> None:
    """Paint the chest and those findings whose label is 1.

    streams: a numpy Generator for each finding; a finding that is absent leaves the others as they would be.
    """
    heart = 1.0
    if labels["Cardiomegaly"]:
        heart = streams["Cardiomegaly"].uniform(1.13, LARGEST_HEART)
    # Doubled, so that what fills a lung leaves no rim of air where its edge shares a voxel with the wall.
    lungs = np.minimum(2 * paint_anatomy(canvas, anatomy, heart), 1)
    painters = {
        "Emphysema": _paint_emphysema,
        "Consolidation": _paint_consolidation,
        "Pleural effusion": _paint_effusion,
        "Lung nodule": _paint_nodules,
    }
    for finding, paint in painters.items():
        if labels[finding]:
            paint(canvas, anatomy, lungs, streams[finding])
    if labels["Coronary artery wall calcification"]:
        _paint_coronary_calcium(canvas, anatomy, heart, streams["Coronary artery wall calcification"])


def _place_in_lung(anatomy: Anatomy, rng: np.random.Generator, margin: float, box: np.ndarray) -> np.ndarray:
    """A point (x, y, z) in mm at least about `margin` mm inside a lung, also beside the largest heart.

    box: (3, 2), the range of |x|, y and z; the least deep of many candidates wins if none is deep enough.
    """
    points = rng.uniform(box[:, 0], box[:, 1], (200, 3))
    points[:, 0] *= rng.choice([-1, 1], 200)
    depth = -anatomy.lung_distance(*points.T, LARGEST_HEART)
    deep = np.flatnonzero(depth >= margin)
    return points[deep[0] if len(deep) else int(np.argmax(depth))]


def _lung_box(anatomy: Anatomy, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Ranges of |x|, y and z around a lung, between two shares of its height."""
    half_x, half_y = anatomy.cage
    height = anatomy.apex - anatomy.diaphragm
    return np.array(
        [
            [20, half_x],
            [-half_y, half_y],
            [anatomy.diaphragm + low * height, anatomy.diaphragm + high * height],
        ]
    )


def _paint_nodules(canvas: Canvas, anatomy: Anatomy, lungs: np.ndarray, rng: np.random.Generator) -> None:
    """Three to eight firm, slightly uneven balls of 16 to 30 mm, off the base where fluid would hide them."""
    box = _lung_box(anatomy, 0.25, 0.95)
    box[1, 1] *= 0.55
    for _ in range(rng.integers(3, 9)):
        radius = rng.uniform(8, 15)
        centre = _place_in_lung(anatomy, rng, radius * 0.8, box)
        paint_ellipsoid(canvas, centre, radius * rng.uniform(0.85, 1.15, 3), rng.uniform(10, 90), lungs)


def _paint_effusion(canvas: Canvas, anatomy: Anatomy, lungs: np.ndarray, rng: np.random.Generator) -> None:
    """Fluid behind the lung, on one or both sides: a crescent that thins out towards the apex."""
    sides = [[-1], [1], [-1, 1]][rng.integers(3)]
    x, y, z = canvas.coordinates()
    for side in sides:
        depth = rng.uniform(8, 36)
        height = rng.uniform(0.4, 0.9) * (anatomy.apex - anatomy.diaphragm)
        fill = np.clip(1 - (z - anatomy.diaphragm) / height, 0, 1) ** 0.7 * np.float32(depth)
        shifted = anatomy.pleura_distance(x, y + fill, z - 0.35 * fill)
        weight = canvas.inside(-shifted) * lungs * (x * side > 0) * (fill > 0.5)
        canvas.blend(weight, rng.uniform(0, 25))


def _paint_emphysema(canvas: Canvas, anatomy: Anatomy, lungs: np.ndarray, rng: np.random.Generator) -> None:
    """Fifty to 130 holes near -980 HU, more often in the upper lung."""
    low = rng.choice([0.0, 0.4], p=[0.3, 0.7])
    for _ in range(rng.integers(50, 131)):
        radius = rng.uniform(6, 15)
        centre = _place_in_lung(anatomy, rng, 0.4 * radius, _lung_box(anatomy, low, 0.98))
        paint_ellipsoid(canvas, centre, radius * rng.uniform(0.8, 1.2, 3), rng.uniform(-990, -960), lungs)


def _paint_consolidation(canvas: Canvas, anatomy: Anatomy, lungs: np.ndarray, rng: np.random.Generator) -> None:
    """One or two parts of lobes, mostly filled, ragged at their edges, with airways left open in them."""
    for _ in range(rng.integers(1, 3)):
        _fill_lobe(canvas, anatomy, lungs, rng)


def _fill_lobe(canvas: Canvas, anatomy: Anatomy, lungs: np.ndarray, rng: np.random.Generator) -> None:
    radii = rng.uniform(32, 55, 3)
    centre = _place_in_lung(anatomy, rng, 14.0, _lung_box(anatomy, 0.15, 0.9))
    part = canvas.crop(centre - radii * 1.3, centre + radii * 1.3)
    x, y, z = part.coordinates()
    waves = rng.uniform(0.08, 0.22, 3)
    phases = rng.uniform(0, 6.28, 3)
    ragged = sum(np.sin(np.float32(k) * p + np.float32(a)) for k, p, a in zip(waves, (x, y, z), phases, strict=True))
    weight = part.inside((sphere_distance(part, centre, radii) + 3 * ragged) * 0.5)
    weight *= canvas.window(part, lungs) * np.float32(rng.uniform(0.7, 0.95))
    part.blend(weight, rng.uniform(-60, 45))
    for _ in range(14):
        start = centre + rng.uniform(-0.3, 0.3, 3) * radii
        paint_rod(canvas, start, start + rng.normal(0, 0.4, 3) * radii, 2.4, -850.0, lungs)


def _paint_coronary_calcium(canvas: Canvas, anatomy: Anatomy, heart: float, rng: np.random.Generator) -> None:
    """Six to ten bright, elongated spots on the heart's upper half, along two of its arteries."""
    axes = anatomy.heart_axes(heart)
    # Rows of `axes` are unit directions over radii; back from the unit sphere to mm.
    to_mm = axes.T / (axes**2).sum(axis=1)
    middle = anatomy.heart_middle(heart)
    courses = [(rng.uniform(0.1, 0.5), -1.0), (rng.uniform(0.0, 0.4), 1.0)]
    hu = rng.uniform(400, 900)
    for rank in range(rng.integers(6, 11)):
        height, side = courses[rank % 2]
        along = rng.uniform(-0.55, 0.45)
        ends = [_on_heart(to_mm, middle, at, side, height) for at in (along, along + rng.uniform(0.25, 0.5))]
        paint_rod(canvas, *ends, rng.uniform(2.8, 4.4), hu)


def _on_heart(to_mm: np.ndarray, middle: np.ndarray, along: float, side: float, height: float) -> np.ndarray:
    """A point (x, y, z) in mm just under the heart's surface; `along` its axis, -1 to 1."""
    ring = np.sqrt(1 - along**2)
    angle = side * (0.5 * np.pi - height)
    return middle + to_mm @ (0.93 * np.array([along, ring * np.sin(angle), ring * np.cos(angle)]))
