"""What the workflow sees in a file or folder: `hounsfield inspect PATH`."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from hounsfield.files import atomic_write
from hounsfield.volumes.read import read_volume
from hounsfield.volumes.volume import Volume, VolumeError

EXAMPLE = "example: hounsfield inspect /data/ct/scan1.nii.gz --png planes.png"

LUNG_WINDOW_HU = (-1350, 150)


def main(arguments: list[str] | None = None) -> int:
    """Print the verdict on each path; 0 if all can be used, else 1."""
    parser = argparse.ArgumentParser(prog="hounsfield inspect", description=__doc__, epilog=EXAMPLE)
    parser.add_argument("path", nargs="+", type=Path, help="a volume's file, or a folder of DICOM slices")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--png", type=Path, help="draw the three middle planes of the (last) volume in a lung window")
    parser.add_argument("--hu", choices=["auto", "header", "table"], default="auto", help="where HU come from")
    parser.add_argument("--rescale", nargs=2, type=float, metavar=("SLOPE", "INTERCEPT"), help="of a table")
    parser.add_argument("--spacing", nargs=3, type=float, metavar=("Z", "Y", "X"), help="mm, of a table")
    options = parser.parse_args(arguments)
    verdicts = []
    for path in options.path:
        try:
            volume = read_volume(path, options.hu, options.rescale, options.spacing)
        except VolumeError as error:
            verdict = {"path": str(path), "verdict": "refused", "reason": error.reason, "detail": error.detail}
        else:
            verdict = {"path": str(path), "verdict": "usable", **describe(volume)}
            if options.png:
                draw(volume, options.png)
        verdicts.append(verdict)
        print(json.dumps(verdict) if options.json else _as_text(verdict))
    return int(any(verdict["verdict"] == "refused" for verdict in verdicts))


def describe(volume: Volume) -> dict[str, Any]:
    """Shape and spacing (z, y, x), the patient directions of the axes, HU and where they came from."""
    low, first, middle, last, high = np.quantile(volume.hu[::2, ::2, ::2], [0, 0.01, 0.5, 0.99, 1]).tolist()
    extent = [round(n * mm, 1) for n, mm in zip(volume.hu.shape, volume.spacing, strict=True)]
    return {
        "shape_zyx": [int(n) for n in volume.hu.shape],
        "spacing_zyx_mm": [round(mm, 4) for mm in volume.spacing],
        "extent_zyx_mm": extent,
        "orientation": volume.orientation,
        "axis_aligned": volume.axis_aligned,
        "type": str(volume.hu.dtype),
        "hu_source": volume.hu_source,
        "hu_quantiles": {"0": low, "0.01": first, "0.5": middle, "0.99": last, "1": high},
    }


def draw(volume: Volume, path: Path) -> None:
    """A PNG of the three middle planes, in true proportions."""
    from matplotlib.figure import Figure  # takes half a second, and only pictures need it

    z, y, x = (n // 2 for n in volume.hu.shape)
    dz, dy, dx = volume.spacing
    planes = [
        ("axial", volume.hu[z], dy / dx, "upper"),
        ("coronal", volume.hu[:, y], dz / dx, "lower"),
        ("sagittal", volume.hu[:, :, x], dz / dy, "lower"),
    ]
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    for axes, (name, image, aspect, origin) in zip(figure.subplots(1, 3), planes, strict=True):
        low, high = LUNG_WINDOW_HU
        axes.imshow(image, cmap="gray", vmin=low, vmax=high, aspect=aspect, origin=origin)
        axes.set_title(name)
        axes.set_axis_off()
    with atomic_write(path) as partial:
        figure.savefig(partial, format="png", dpi=120)


def _as_text(verdict: dict[str, Any]) -> str:
    width = max(map(len, verdict))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in verdict.items()) + "\n"


if __name__ == "__main__":
    sys.exit(main())
