"""Where a network looks: a map over the volume, drawn on three planes through its peak."""

import os
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from scipy.special import expit
from torch import nn
from torch.nn import functional

from hounsfield.files import atomic_write
from hounsfield.progress import progress
from hounsfield.report.settings import ReportSettings
from hounsfield.tables import write_table
from hounsfield.training.checkpoints import load_model
from hounsfield.training.data import to_hu, to_input
from hounsfield.volumes.settings import PreprocessingSettings
from hounsfield.volumes.store import VolumeStore

OUTCOMES = ("found", "missed", "false alarm")
WINDOW_HU = (-1000.0, 400.0)
# A coarser feature map than this shows nothing: Grad-CAM then takes an earlier layer.
FEWEST_VOXELS = 4


def explain_model(
    checkpoint: str | os.PathLike,
    dataset: pd.DataFrame,
    predictions: pd.DataFrame,
    store: VolumeStore,
    folder: Path,
    settings: ReportSettings,
    threads: int = 1,
) -> None:
    """Write a picture for each example, and index.tsv: pathology, volume, outcome, probability, method, picture.

    Raises CheckpointError or StoreError.
    """
    torch.set_num_threads(threads)
    model, content = load_model(checkpoint)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device)
    preprocessing = PreprocessingSettings.from_config(content["preprocessing"])
    keys = dataset.set_index("volume")["key"]
    pathologies = content["pathologies"]
    examples = pd.concat([choose_examples(predictions, name, settings.examples) for name in pathologies])
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, example in enumerate(progress(examples.itertuples(), len(examples), "examples")):
        hu = to_hu(torch.from_numpy(store.read(keys[example.volume]))[None].to(device), preprocessing)
        x_BCDHW = to_input(hu, content["windows"])
        heat, method = saliency(model, x_BCDHW, pathologies.index(example.pathology))
        picture = f"{number:03d}.png"
        draw_planes(hu[0, 0].cpu().numpy(), heat, preprocessing.spacing, folder / picture)
        rows.append({**example._asdict(), "method": method, "picture": picture})
    columns = ["pathology", "volume", "outcome", "probability", "method", "picture"]
    write_table(pd.DataFrame(rows, columns=columns), folder / "index.tsv")


def choose_examples(predictions: pd.DataFrame, pathology: str, count: int) -> pd.DataFrame:
    """The surest finds, the surest misses and the surest false alarms, `count` of each."""
    probability = expit(predictions[f"logit {pathology}"].to_numpy(float))
    label = predictions[f"label {pathology}"].to_numpy(float)
    table = pd.DataFrame({"pathology": pathology, "volume": predictions["volume"], "probability": probability})
    positives = table[label == 1].sort_values("probability")
    negatives = table[label == 0].sort_values("probability")
    parts = (positives.iloc[::-1][:count], positives[:count], negatives.iloc[::-1][:count])
    return pd.concat([part.assign(outcome=name) for part, name in zip(parts, OUTCOMES, strict=True)])


def saliency(model: nn.Module, x_BCDHW: torch.Tensor, pathology: int) -> tuple[np.ndarray, str]:
    """Heat from 0 to 1 over the input's grid (D, H, W), and the method: Grad-CAM, or gradient x input for others."""
    layer = _last_fine_layer(model, x_BCDHW)
    if layer is not None:
        heat, method = _grad_cam(model, x_BCDHW, pathology, layer), "Grad-CAM"
    else:
        heat, method = _gradient_times_input(model, x_BCDHW, pathology), "gradient x input"
    heat = heat - heat.min()
    return (heat / heat.max().clamp(min=1e-12)).cpu().numpy(), method


def _last_fine_layer(model: nn.Module, x_BCDHW: torch.Tensor) -> nn.Module | None:
    """The last convolution whose output still tells places apart, of those that see the volume whole."""
    shapes: dict[nn.Module, torch.Size] = {}
    hooks = [
        module.register_forward_hook(lambda module, _, output: shapes.__setitem__(module, output.shape))
        for module in model.modules()
        if isinstance(module, nn.Conv3d)
    ]
    with torch.no_grad():
        model(x_BCDHW)
    for hook in hooks:
        hook.remove()
    patches = any(isinstance(module, nn.LayerNorm) for module in model.modules())
    fine = [module for module, shape in shapes.items() if min(shape[2:]) >= FEWEST_VOXELS]
    return fine[-1] if fine and not patches else None


def _grad_cam(model: nn.Module, x_BCDHW: torch.Tensor, pathology: int, layer: nn.Module) -> torch.Tensor:
    """Selvaraju et al., 2017: feature maps weighted by the mean gradient of the logit, what speaks against left out."""
    kept = []
    hook = layer.register_forward_hook(lambda _, __, output: kept.append(output))
    with torch.enable_grad():
        logit = model(x_BCDHW)[0, pathology]
        (gradient,) = torch.autograd.grad(logit, kept[0])
    hook.remove()
    heat = functional.relu((gradient.mean(dim=(2, 3, 4), keepdim=True) * kept[0]).sum(dim=1, keepdim=True))
    return functional.interpolate(heat.detach(), x_BCDHW.shape[2:], mode="trilinear")[0, 0]


def _gradient_times_input(model: nn.Module, x_BCDHW: torch.Tensor, pathology: int) -> torch.Tensor:
    """Baehrens et al., 2010, times the input, smoothed over five voxels."""
    x_BCDHW = x_BCDHW.clone().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(model(x_BCDHW)[0, pathology], x_BCDHW)
    heat = (gradient * x_BCDHW).detach().abs().sum(dim=1, keepdim=True)
    return functional.avg_pool3d(heat, 5, stride=1, padding=2)[0, 0]


def draw_planes(hu: np.ndarray, heat: np.ndarray, spacing: Sequence[float], path: Path) -> None:
    """Axial, coronal and sagittal plane through the peak of `heat`, superior and anterior up, in true proportions."""
    z, y, x = np.unravel_index(np.argmax(heat), heat.shape)
    dz, dy, dx = spacing
    planes = [
        ("axial", hu[z], heat[z], dy / dx, "upper"),
        ("coronal", hu[:, y], heat[:, y], dz / dx, "lower"),
        ("sagittal", hu[:, :, x], heat[:, :, x], dz / dy, "lower"),
    ]
    figure = Figure(figsize=(6, 2.2), dpi=110, layout="constrained")
    for axes, (name, image, glow, aspect, origin) in zip(figure.subplots(1, 3), planes, strict=True):
        low, high = WINDOW_HU
        axes.imshow(image, cmap="gray", vmin=low, vmax=high, aspect=aspect, origin=origin)
        colours = matplotlib.colormaps["inferno"](glow)
        colours[..., 3] = 0.6 * glow
        axes.imshow(colours, aspect=aspect, origin=origin)
        axes.set_title(name, fontsize=8)
        axes.set_axis_off()
    with atomic_write(path) as partial:
        figure.savefig(partial, format="png")
