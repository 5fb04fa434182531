"""Pictures of a volume: three planes, plain above and with the heat below, in true proportions."""

import os
from collections.abc import Sequence

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hounsfield.files import atomic_write

HEIGHT = 168  # pixels of a plane, with its margin
MARGIN = 6
LABEL = 14
LARGEST_OPACITY = 0.65
SUPERSAMPLED = Image.Resampling.BICUBIC


def draw_planes(
    hu: np.ndarray, heat: np.ndarray, spacing: Sequence[float], window: Sequence[float], path: str | os.PathLike
) -> None:
    """Write a PNG of the axial, coronal and sagittal plane through the peak of `heat`.

    hu: (z, y, x) in HU, axes to superior, posterior and left; heat: the same grid, 0 to 1; spacing: mm (z, y, x);
    window: HU from black to white. Superior and anterior are up, the patient's left is on the right.
    """
    z, y, x = np.unravel_index(np.argmax(heat), heat.shape)
    low, high = window
    grey = np.clip((hu.astype(np.float32) - low) / (high - low), 0, 1)
    dz, dy, dx = spacing
    planes = (
        (f"axial {z + 1}/{hu.shape[0]}", grey[z], heat[z], (dy, dx)),
        (f"coronal {y + 1}/{hu.shape[1]}", grey[::-1, y], heat[::-1, y], (dz, dx)),
        (f"sagittal {x + 1}/{hu.shape[2]}", grey[::-1, :, x], heat[::-1, :, x], (dz, dy)),
    )
    tallest = max(plane.shape[0] * mm[0] for _, plane, _, mm in planes)
    scale = (HEIGHT - MARGIN) / tallest
    columns = [_column(name, plane, glow, mm, scale) for name, plane, glow, mm in planes]
    picture = Image.new("RGB", (sum(column.width for column in columns) + MARGIN * 4, columns[0].height), "black")
    left = MARGIN
    for column in columns:
        picture.paste(column, (left, 0))
        left += column.width + MARGIN
    with atomic_write(path) as partial:
        picture.save(partial, format="PNG", optimize=True)


def overlay(grey: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """RGB (h, w, 3), 0 to 1: `heat` in inferno's colours over `grey`, the more opaque the hotter."""
    opacity = (LARGEST_OPACITY * heat)[..., None]
    return (1 - opacity) * grey[..., None] + opacity * matplotlib.colormaps["inferno"](heat)[..., :3]


def _column(name: str, grey: np.ndarray, heat: np.ndarray, mm: Sequence[float], scale: float) -> Image.Image:
    """The plane without and with heat, one above the other, under its name."""
    height, width = (max(1, round(n * size * scale)) for n, size in zip(grey.shape, mm, strict=True))
    column = Image.new("RGB", (width, LABEL + 2 * HEIGHT), "black")
    ImageDraw.Draw(column).text((0, 1), name, fill="#dddddd", font=ImageFont.load_default(10))
    for row, pixels in enumerate((np.repeat(grey[..., None], 3, axis=2), overlay(grey, heat))):
        image = Image.fromarray(np.rint(pixels * 255).astype(np.uint8)).resize((width, height), SUPERSAMPLED)
        column.paste(image, (0, LABEL + row * HEIGHT + (HEIGHT - MARGIN - height) // 2))
    return column
