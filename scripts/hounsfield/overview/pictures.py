"""A small picture of each stored volume: its three middle planes, and its histogram of HU."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from hounsfield.files import atomic_write
from hounsfield.progress import progress
from hounsfield.volumes.settings import PreprocessingSettings
from hounsfield.volumes.store import VolumeStore

COLUMNS = ["volume", "key", "hu_p01", "hu_median", "hu_p99", "air_share"]
EDGE, GAP, HISTOGRAM = 96, 2, 24  # pixels
BINS, HU_RANGE = 128, (-1100.0, 1500.0)
AIR_BELOW_HU = -950


def draw_shard(
    stored: pd.DataFrame, store: VolumeStore, settings: PreprocessingSettings, window: Sequence[float], folder: Path
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Write `{key}.png` into `folder` for each volume of `stored` (volume, key) that is in the store.

    window: HU from black to white. Returns COLUMNS, a row a volume, and the shard's histogram: hu (lower edge of a bin)
    and voxels. Raises StoreError for a damaged volume.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows, total = [], np.zeros(BINS, np.int64)
    edges = np.linspace(*HU_RANGE, BINS + 1)
    there = stored[stored["key"].fillna("") != ""]
    for row in progress(there.itertuples(), len(there), "pictures"):
        hu = in_hu(store.read(row.key), settings)
        counts = np.histogram(hu, edges)[0]
        total += counts
        with atomic_write(folder / f"{row.key}.png") as partial:
            picture(hu, counts, settings.spacing, window).save(partial, format="PNG", optimize=True)
        low, middle, high = np.quantile(hu[::2, ::2, ::2], [0.01, 0.5, 0.99])
        rows.append([row.volume, row.key, low, middle, high, float(np.mean(hu < AIR_BELOW_HU))])
    return pd.DataFrame(rows, columns=COLUMNS), pd.DataFrame({"hu": edges[:-1], "voxels": total})


def in_hu(voxels: np.ndarray, settings: PreprocessingSettings) -> np.ndarray:
    """Stored voxels (z, y, x) as HU."""
    if not settings.window:
        return voxels
    low, high = settings.window
    return voxels * np.float32((high - low) / 255) + np.float32(low)


def picture(hu: np.ndarray, counts: np.ndarray, spacing: Sequence[float], window: Sequence[float]) -> Image.Image:
    """The axial, coronal and sagittal plane through the middle of `hu` (z, y, x) in true proportions, over a histogram.

    Superior and anterior are up, the patient's left is on the right; the bars are the counts' square roots.
    """
    z, y, x = (n // 2 for n in hu.shape)
    dz, dy, dx = spacing
    planes = [(hu[z], (dy, dx)), (hu[::-1, y], (dz, dx)), (hu[::-1, :, x], (dz, dy))]
    largest = max(n * mm for plane, sizes in planes for n, mm in zip(plane.shape, sizes, strict=True))
    low, high = window
    image = Image.new("L", (3 * EDGE + 2 * GAP, EDGE + GAP + HISTOGRAM), 0)
    for place, (plane, sizes) in enumerate(planes):
        grey = np.rint(255 * np.clip((plane.astype(np.float32) - low) / (high - low), 0, 1)).astype(np.uint8)
        height, width = (max(1, round(EDGE * n * mm / largest)) for n, mm in zip(plane.shape, sizes, strict=True))
        small = Image.fromarray(grey).resize((width, height), Image.Resampling.BOX)
        image.paste(small, (place * (EDGE + GAP) + (EDGE - width) // 2, (EDGE - height) // 2))
    draw = ImageDraw.Draw(image)
    heights = np.sqrt(counts / max(1, counts.max())) * (HISTOGRAM - 1)
    step = image.width / len(counts)
    for place, height in enumerate(heights):
        left = round(place * step)
        draw.rectangle((left, image.height - round(height), round((place + 1) * step) - 1, image.height), fill=150)
    return image
