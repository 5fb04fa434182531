"""The healthy chest of a phantom: drawn once per patient, breathing a little from scan to scan."""

from dataclasses import dataclass, replace

import numpy as np

from hounsfield.phantoms.canvas import Canvas, capsule_distance, oval_distance, sphere_distance

# A cardiomegalic heart is at most this much longer; nothing else is placed where it could reach.
LARGEST_HEART = 1.4
UP = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class Anatomy:
    """Sizes in mm, densities in HU; x to the left, y to posterior, z to superior, from the chest's middle."""

    half_width: float
    half_depth: float
    fat: float
    wall: float
    diaphragm: float
    dome: float
    apex: float
    mediastinum: float
    heart_centre: tuple[float, float, float]
    heart_radii: tuple[float, float, float]
    heart_tilt: float
    spine_depth: float
    rib_pitch: float
    rib_phase: float
    lung_hu: float
    lung_gradient: float
    blood_hu: float
    bone_hu: float
    table_gap: float
    aortic_calcium: tuple[float, ...]
    vessels: np.ndarray

    def pleura_distance(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Signed distance in mm to the rib cage, closed by the diaphragm below and the apex above."""
        half_x, half_y = self.cage
        rise = np.clip((z - 30.0) / (self.apex - 30.0), 0, 1)
        narrowing = half_y * (1 - np.sqrt(1 - rise**2))
        side = np.abs(x) - 0.5 * half_x
        bulge = np.maximum(1 - (side / half_x * 1.6) ** 2 - (y / half_y) ** 2 * 0.8, -0.5)
        floor = self.diaphragm + self.dome * bulge - 8.0 * (x > 0)
        walls = oval_distance(x, y, half_x, half_y, 2.3) + narrowing
        return np.maximum(walls, 0.8 * (floor - z)).astype(np.float32)

    def lung_distance(self, x: np.ndarray, y: np.ndarray, z: np.ndarray, heart: float) -> np.ndarray:
        """Signed distance in mm to both lungs, round a heart `heart` times its healthy size."""
        middle = self.mediastinum + 10.0 * np.clip((z - 40.0) / 80.0, 0, 1) - np.abs(x)
        spine = 24.0 - np.hypot(x, y - self.spine_depth)
        distance = np.maximum(self.pleura_distance(x, y, z), np.maximum(middle, spine))
        return np.maximum(distance, 2.0 - self.heart_distance(x, y, z, heart)).astype(np.float32)

    def heart_distance(self, x: np.ndarray, y: np.ndarray, z: np.ndarray, scale: float) -> np.ndarray:
        """Approximate signed distance in mm to the heart, `scale` times its healthy size."""
        long, across, up = self.heart_axes(scale)
        centre = self.heart_middle(scale)
        dx, dy, dz = (p - np.float32(c) for p, c in zip((x, y, z), centre, strict=True))
        squares = sum((dx * axis[0] + dy * axis[1] + dz * axis[2]) ** 2 for axis in (long, across, up))
        return (np.sqrt(squares) - 1) * np.float32(min(self.heart_radii) * scale)

    def heart_axes(self, scale: float) -> np.ndarray:
        """Three perpendicular axes (rows, x y z), each divided by its radius in mm."""
        c, s = np.cos(self.heart_tilt), np.sin(self.heart_tilt)
        long = np.array([c * 0.85, -s, -c * 0.527])
        long /= np.linalg.norm(long)
        across = np.cross([0.0, 0.0, 1.0], long)
        across /= np.linalg.norm(across)
        axes = np.stack([long, across, np.cross(long, across)])
        return (axes / (np.array(self.heart_radii)[:, None] * scale)).astype(np.float32)

    def heart_middle(self, scale: float) -> np.ndarray:
        """The heart grows towards its apex, at the left: its middle (x, y, z) in mm moves there."""
        growth = (scale - 1) * self.heart_radii[0]
        return np.array(self.heart_centre) + growth * np.array([0.45, -0.05, -0.1])

    @property
    def cage(self) -> tuple[float, float]:
        """Inner half axes (x, y) of the rib cage in mm."""
        return self.half_width - self.fat - self.wall, self.half_depth - self.fat - self.wall


def draw_anatomy(patient: np.random.Generator, scan: np.random.Generator) -> Anatomy:
    """A patient's chest from the first stream; the scan's breath, contrast and table from the second."""
    u = patient.uniform
    half_depth = u(96, 114)
    heart = u(0.93, 1.07)
    anatomy = Anatomy(
        half_width=u(136, 156),
        half_depth=half_depth,
        fat=u(6, 16),
        wall=u(14, 18),
        diaphragm=u(-105, -88),
        dome=u(24, 40),
        apex=u(112, 132),
        mediastinum=u(19, 27),
        heart_centre=(u(10, 20), u(-32, -24), u(-52, -40)),
        heart_radii=(heart * u(51, 55), heart * u(38, 41), heart * u(38, 41)),
        heart_tilt=u(0.35, 0.75),
        spine_depth=half_depth * u(0.52, 0.58),
        rib_pitch=u(22, 28),
        rib_phase=u(0, 28),
        lung_hu=u(-830, -785),
        lung_gradient=u(10, 40),
        blood_hu=45.0,
        bone_hu=u(170, 260),
        table_gap=5.0,
        aortic_calcium=tuple(u(0, 2 * np.pi, patient.choice([0, 0, 1, 2, 3]))),
        vessels=_draw_vessels(patient),
    )
    u = scan.uniform
    return replace(
        anatomy,
        diaphragm=anatomy.diaphragm + u(-6, 6),
        lung_hu=anatomy.lung_hu + u(-12, 12),
        blood_hu=u(35, 60) if scan.random() < 0.6 else u(70, 120),
        table_gap=u(3, 12),
    )


def paint_anatomy(canvas: Canvas, anatomy: Anatomy, heart: float) -> np.ndarray:
    """Paint the chest, the heart `heart` times its healthy size; returns the lungs' share of each voxel."""
    _paint_body(canvas, anatomy)
    _paint_bones(canvas, anatomy)
    lungs = canvas.inside(anatomy.lung_distance(*canvas.coordinates(), heart))
    y = canvas.y[:, None]
    canvas.blend(lungs, np.float32(anatomy.lung_hu) + np.float32(anatomy.lung_gradient / 80) * y)
    _paint_heart(canvas, anatomy, heart)
    _paint_tubes(canvas, anatomy, lungs)
    return lungs


def _paint_body(canvas: Canvas, anatomy: Anatomy) -> None:
    x, y, _ = canvas.coordinates()
    table = np.abs(y - anatomy.half_depth - anatomy.table_gap - 8 + (x / 190) ** 2 * 25) - 4
    table = np.maximum(table, np.abs(x) - 200)
    canvas.blend(canvas.inside(table), -250.0)
    skin = oval_distance(x, y, anatomy.half_width, anatomy.half_depth, 2.4)
    canvas.blend(canvas.inside(skin), -100.0)
    canvas.blend(canvas.inside(skin + anatomy.fat), 45.0)


def _paint_bones(canvas: Canvas, anatomy: Anatomy) -> None:
    x, y, z = canvas.coordinates()
    half_x, half_y = anatomy.cage
    layer = np.abs(oval_distance(x, y, half_x + 6, half_y + 6, 2.3)) - 4
    phase = (z + 0.45 * y + anatomy.rib_phase) / anatomy.rib_pitch
    rib = (np.abs(phase - np.round(phase)) - 0.19) * np.float32(anatomy.rib_pitch)
    canvas.blend(canvas.inside(np.maximum(layer, rib)), anatomy.bone_hu)
    sternum = np.maximum(np.abs(x) - 14, np.abs(y + half_y + 6) - 5)
    canvas.blend(canvas.inside(sternum), 0.6 * anatomy.bone_hu)
    disc = 0.5 + 0.5 * np.cos(2 * np.pi * (z + anatomy.rib_phase) / anatomy.rib_pitch)
    marrow = np.float32(anatomy.bone_hu * 0.65) * (1 - 0.6 * disc**6) + 20
    canvas.blend(canvas.inside(np.hypot(x, y - anatomy.spine_depth) - 17), marrow.astype(np.float32))
    process = np.maximum(np.abs(x) - 5, np.abs(y - anatomy.spine_depth - 28) - 12)
    canvas.blend(canvas.inside(process), 0.7 * anatomy.bone_hu)
    canvas.blend(canvas.inside(np.hypot(x, y - anatomy.spine_depth - 22) - 7), 20.0)


def _paint_heart(canvas: Canvas, anatomy: Anatomy, scale: float) -> None:
    reach = max(anatomy.heart_radii) * scale
    middle = anatomy.heart_middle(scale)
    part = canvas.crop(middle - reach, middle + reach)
    x, y, z = part.coordinates()
    half_x, half_y = anatomy.cage
    within = oval_distance(x, y, half_x, half_y, 2.3)
    distance = np.maximum(anatomy.heart_distance(x, y, z, scale), within)
    # Muscle outside, blood inside.
    part.blend(part.inside(distance), 50.0)
    part.blend(part.inside(distance + 8), anatomy.blood_hu)


def _paint_tubes(canvas: Canvas, anatomy: Anatomy, lungs: np.ndarray) -> None:
    """Aorta, its wall's calcium, airways, and the vessels of the lungs."""
    top, bottom = np.array([14.0, 30.0, 55.0]), np.array([22.0, anatomy.spine_depth - 18.0, -220.0])
    paint_rod(canvas, top, bottom, 12.0, anatomy.blood_hu)
    for rank, angle in enumerate(anatomy.aortic_calcium):
        spot = bottom + (top - bottom) * (0.55 + 0.1 * rank) + 11 * np.array([np.cos(angle), np.sin(angle), 0])
        paint_rod(canvas, spot, spot + 16 * UP, 3.2, 600.0)
    carina = np.array([0.0, 8.0, 28.0])
    paint_rod(canvas, carina, carina + 220 * UP, 8.0, -990.0)
    for side in (-1, 1):
        paint_rod(canvas, carina, np.array([side * 38.0, 12.0, 4.0]), 5.5, -990.0)
    for x0, y0, z0, x1, y1, z1, radius in anatomy.vessels:
        paint_rod(canvas, np.array([x0, y0, z0]), np.array([x1, y1, z1]), radius, 40.0, lungs)


def paint_rod(
    canvas: Canvas,
    start: np.ndarray,
    end: np.ndarray,
    radius: float,
    hu: float,
    within: np.ndarray | None = None,
) -> None:
    """Paint a rod with round ends between two points (x, y, z) in mm, where `within` (z, y, x) allows."""
    part = canvas.crop(np.minimum(start, end) - radius, np.maximum(start, end) + radius)
    if part.hu.size == 0:
        return
    weight = part.inside(capsule_distance(part, start, end, radius))
    # A rod thinner than the edge's width would lose its contrast twice over without this.
    weight = np.minimum(weight, min(1.0, 2 * radius / part.soft))
    part.blend(weight if within is None else weight * canvas.window(part, within), hu)


def paint_ellipsoid(canvas: Canvas, centre: np.ndarray, radii: np.ndarray, hu: float, within: np.ndarray) -> None:
    """Paint an ellipsoid, centre and radii (x, y, z) in mm, where `within` (z, y, x) in [0, 1] allows."""
    part = canvas.crop(centre - radii, centre + radii)
    if part.hu.size:
        weight = part.inside(sphere_distance(part, centre, radii))
        part.blend(weight * canvas.window(part, within), hu)


def _draw_vessels(rng: np.random.Generator) -> np.ndarray:
    """Rods (n, 7): start, end (x, y, z) and radius in mm of a tree in each lung, from its hilum outwards."""
    rods: list[np.ndarray] = []
    for side in (-1, 1):
        for _ in range(4):
            direction = np.array([side * 1.0, rng.uniform(-1, 1), rng.uniform(-1.6, 1.4)])
            _grow(rng, np.array([side * 26.0, 6.0, -6.0]), direction, 3.2, 26.0, rods)
    return np.array(rods)


def _grow(
    rng: np.random.Generator,
    start: np.ndarray,
    direction: np.ndarray,
    radius: float,
    length: float,
    rods: list,
) -> None:
    end = start + direction / np.linalg.norm(direction) * length
    rods.append(np.concatenate([start, end, [radius]]))
    if radius < 1.1:
        return
    for _ in range(2):
        turned = direction / np.linalg.norm(direction) + rng.normal(0, 0.45, 3)
        _grow(rng, end, turned, radius * rng.uniform(0.68, 0.8), length * rng.uniform(0.72, 0.9), rods)
