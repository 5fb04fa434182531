"""What `preprocessing.antialias` does to noise: python tests/benchmarks/antialias.py draws docs/antialias.png.

A phantom of 1 mm slices, with the white noise of a sharp kernel, sampled down to 4 mm with and without; the error is
measured against the same phantom without noise, averaged over the target voxels.
"""

from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np

from hounsfield.phantoms.cohort import paint_scan, plan_cohort
from hounsfield.volumes.resample import resample
from hounsfield.volumes.settings import PreprocessingSettings
from hounsfield.volumes.volume import Volume

matplotlib.use("Agg")
import matplotlib.pyplot as plt

FIGURE = Path(__file__).parents[2] / "docs" / "antialias.png"
NOISE_HU = 60
FINE, COARSE = (1.0, 1.0, 1.0), (4.0, 4.0, 4.0)


def main():
    canvas, _, reconstruction = paint_scan(plan_cohort(20, 30, seed=0)[0], 1, seed=0)
    spacing = (reconstruction.slice, reconstruction.pixel, reconstruction.pixel)
    extent = np.array(canvas.hu.shape) * spacing
    clean = to_grid(np.rint(canvas.hu).astype(np.int16), spacing, FINE, extent)
    noise = np.random.default_rng(0).normal(0, NOISE_HU, clean.shape)
    noisy = np.clip(np.rint(clean + noise), -1024, 3071).astype(np.int16)
    truth = to_grid(clean, FINE, COARSE, extent, antialias=True).astype(float)
    sides = {
        "without noise": truth,
        "linear, as stock pipelines": to_grid(noisy, FINE, COARSE, extent),
        "antialias: true": to_grid(noisy, FINE, COARSE, extent, antialias=True),
    }
    figure, axes = plt.subplots(1, 3, figsize=(12, 4.4), layout="constrained")
    for axis, (title, hu) in zip(axes, sides.items(), strict=True):
        inside = (truth > -300) & (truth < 300)
        error = np.sqrt(np.mean((hu - truth)[inside] ** 2))
        label = f"{title}: {error:.0f} HU from it" if error else title
        print(f"| {title} | {error:.1f} HU |")
        axis.imshow(hu[len(hu) // 2], cmap="gray", vmin=-160, vmax=240, interpolation="nearest")
        axis.set_title(label)
        axis.set_axis_off()
    figure.suptitle(f"1 mm voxels with {NOISE_HU} HU of noise, sampled down to 4 mm (soft tissue window)")
    figure.savefig(FIGURE, dpi=80)


def to_grid(hu, spacing, target, extent, antialias=False):
    """HU on a grid of `target` mm over `extent` mm."""
    affine = np.eye(4)[[2, 1, 0, 3]] @ np.diag([*spacing, 1.0])
    volume = Volume(hu, spacing, affine)
    shape = tuple(int(n) for n in extent // target)
    return resample(volume, replace(PreprocessingSettings(target, shape), antialias=antialias))


if __name__ == "__main__":
    main()
