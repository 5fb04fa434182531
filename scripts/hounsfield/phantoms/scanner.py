"""How a phantom is scanned: grid, orientation, kernel and noise, none of which knows its findings."""

from dataclasses import dataclass

import nibabel as nib
import numpy as np
from scipy.ndimage import gaussian_filter1d

from hounsfield.phantoms.canvas import Canvas

SCANNERS = (
    ("Siemens Healthineers", "SOMATOM go.Top", "Br40f", "Br64f"),
    ("PNMS", "iCT 256", "B", "YC"),
    ("GE MEDICAL SYSTEMS", "Revolution EVO", "STANDARD", "LUNG"),
)
# Mostly what converters of DICOM write; a few files keep another order of axes.
ORIENTATIONS = ("LPS", "RAS", "LAS", "RPS", "LPI", "SAR")


@dataclass(frozen=True)
class Position:
    """Where the patient lies, the same for every reconstruction of a scan: offsets and margins in mm."""

    offset: tuple[float, float]
    below: float
    above: float
    scanner: int
    orientation: str
    origin: tuple[float, float, float]
    tilt: tuple[float, float, float]


@dataclass(frozen=True)
class Reconstruction:
    """A reconstruction's grid and kernel: spacings and field of view in mm, noise in HU."""

    pixel: float
    slice: float
    field: float
    sharp: bool
    noise: float
    blur: float


def draw_position(rng: np.random.Generator) -> Position:
    """A scan's position, one in twenty slightly oblique."""
    tilt = np.deg2rad(rng.uniform(-4, 4, 3)) if rng.random() < 0.05 else np.zeros(3)
    return Position(
        offset=(rng.uniform(-8, 8), rng.uniform(-8, 8)),
        below=rng.uniform(12, 40),
        above=rng.uniform(8, 35),
        scanner=int(rng.integers(len(SCANNERS))),
        orientation=str(rng.choice(ORIENTATIONS, p=[0.3, 0.25, 0.2, 0.1, 0.1, 0.05])),
        origin=tuple(rng.uniform(-300, 300, 3)),
        tilt=tuple(float(angle) for angle in tilt),
    )


def draw_reconstruction(rng: np.random.Generator) -> Reconstruction:
    """A reconstruction with a soft or a sharp kernel."""
    sharp = bool(rng.random() < 0.4)
    return Reconstruction(
        pixel=float(np.round(rng.uniform(2.0, 3.2), 3)),
        slice=float(rng.choice([2.5, 3.0, 4.0, 5.0], p=[0.1, 0.3, 0.35, 0.25])),
        field=rng.uniform(335, 380),
        sharp=sharp,
        noise=rng.uniform(20, 40) if sharp else rng.uniform(8, 18),
        blur=rng.uniform(0.9, 1.2) if sharp else rng.uniform(1.2, 1.7),
    )


def empty_canvas(position: Position, reconstruction: Reconstruction, low: float, high: float) -> Canvas:
    """The reconstruction's grid around a chest that reaches from `low` to `high` mm."""
    pixels = round(reconstruction.field / reconstruction.pixel)
    slices = round((high + position.above - low + position.below) / reconstruction.slice)
    across = (np.arange(pixels) - (pixels - 1) / 2) * reconstruction.pixel
    up = low - position.below + np.arange(slices) * reconstruction.slice
    soft = reconstruction.blur * reconstruction.pixel
    return Canvas.empty(up, across + position.offset[1], across + position.offset[0], soft)


def add_noise(canvas: Canvas, reconstruction: Reconstruction, rng: np.random.Generator) -> np.ndarray:
    """The canvas with the kernel's noise as int16 HU (z, y, x), none below -1024."""
    noise = rng.standard_normal(canvas.hu.shape, np.float32)
    if not reconstruction.sharp:
        # A soft kernel's noise is smooth in the plane; the factor restores its variance.
        noise = gaussian_filter1d(gaussian_filter1d(noise, 0.7, axis=1, truncate=3), 0.7, axis=2, truncate=3)
        noise *= np.float32(1 / max(float(noise[0].std()), 1e-6))
    noise *= np.float32(reconstruction.noise)
    noise += canvas.hu
    return np.clip(np.rint(noise), -1024, 3071).astype(np.int16)


def to_nifti(hu: np.ndarray, position: Position, reconstruction: Reconstruction) -> nib.Nifti1Image:
    """A NIfTI image of HU (z, y, x) LPS, stored in the position's orientation, as its affine says."""
    steps = np.diag([-reconstruction.pixel, -reconstruction.pixel, reconstruction.slice, 1.0])
    steps[:3, :3] = _rotation(position.tilt) @ steps[:3, :3]
    steps[:3, 3] = position.origin
    image = nib.Nifti1Image(hu.transpose(2, 1, 0), steps)
    wanted = nib.orientations.axcodes2ornt(tuple(position.orientation))
    turn = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("LPS"), wanted)
    image = image.as_reoriented(turn)
    image.header.set_xyzt_units("mm", "sec")
    image.header["descrip"] = b"Hounsfield chest phantom"
    image.set_qform(image.affine, 1)
    image.set_sform(image.affine, 1)
    return image


def _rotation(angles: tuple[float, float, float]) -> np.ndarray:
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        c, s = np.cos(angle), np.sin(angle)
        turn = np.eye(3)
        first, second = (axis + 1) % 3, (axis + 2) % 3
        turn[[first, first, second, second], [first, second, first, second]] = c, -s, s, c
        matrix = matrix @ turn
    return matrix
