"""Where a network looks: a map over the volume for one logit, and pictures of it for example scans."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional

from hounsfield.errors import TableError
from hounsfield.explain.examples import choose_examples
from hounsfield.explain.planes import draw_planes
from hounsfield.explain.pointing import Truth, pointing_game
from hounsfield.explain.settings import ExplainSettings
from hounsfield.progress import progress
from hounsfield.tables import write_table
from hounsfield.training.checkpoints import load_model
from hounsfield.training.data import to_hu, to_input
from hounsfield.volumes.settings import PreprocessingSettings
from hounsfield.volumes.store import VolumeStore

METHODS = {"grad_cam": "Grad-CAM", "hires_cam": "HiResCAM", "gradient": "smoothed gradient x input"}
# A feature map with fewer voxels along an axis shows no place: an earlier one is taken. On the demo's phantoms the
# hottest voxel of a map of 8 is on the finding twice as often as that of a map of 4.
FEWEST_VOXELS = 8
# Of the input's range (-1 to 1), as Smilkov et al. (2017) advise.
NOISE = 0.15
# Voxels of the average that turns the gradient's speckle into places.
SMOOTHED = 5

# (volume, pathology) -> HU and heat (z, y, x), and the method's name.
Explain = Callable[[str, str], tuple[np.ndarray, np.ndarray, str]]


def explain_model(
    checkpoint: str | os.PathLike,
    dataset: pd.DataFrame,
    predictions: pd.DataFrame,
    store: VolumeStore,
    folder: Path,
    settings: ExplainSettings,
    threads: int = 1,
    truth: Truth | None = None,
) -> None:
    """Write a picture for each example, and index.tsv: the example's columns, peak_{z,y,x} (voxel), method, picture.

    dataset: volume and key; predictions: of one split. Where the findings' places are known (truth), pointing.tsv says
    how often the heat is there. Raises CheckpointError, StoreError, or TableError for predictions of volumes that the
    dataset does not hold.
    """
    torch.set_num_threads(threads)
    network = TrainedNetwork(checkpoint, dataset, store, settings)
    examples = choose_examples(predictions, network.pathologies, settings.examples)
    strangers = predictions.loc[~predictions["volume"].isin(network.keys), "volume"]
    if len(strangers):
        raise TableError(f"dataset: lacks the volume {strangers.iloc[0]!r} of the predictions; predict again")
    spacing = network.preprocessing.spacing
    draw_examples(examples, network.explain, spacing, settings, folder)
    if truth is not None:
        table = pointing_game(predictions, network.pathologies, truth, lambda *of: network.explain(*of)[1], spacing)
        write_table(table, folder / "pointing.tsv")


def draw_examples(
    examples: pd.DataFrame, explain: Explain, spacing: Sequence[float], settings: ExplainSettings, folder: Path
) -> None:
    """Write a picture for each example (volume, pathology, ...), and index.tsv: examples, peaks, methods, pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, example in enumerate(progress(examples.to_dict("records"), len(examples), "examples")):
        hu, heat, method = explain(example["volume"], example["pathology"])
        # Numbered, as names of labels and volumes may hold anything.
        picture = f"{number:04d}.png"
        draw_planes(hu, heat, spacing, settings.window, folder / picture)
        peak = dict(zip(("peak_z", "peak_y", "peak_x"), np.unravel_index(heat.argmax(), heat.shape), strict=True))
        rows.append(example | peak | {"method": method, "picture": picture})
    columns = [*examples.columns, "peak_z", "peak_y", "peak_x", "method", "picture"]
    write_table(pd.DataFrame(rows, columns=columns), folder / "index.tsv")


class TrainedNetwork:
    """A checkpoint's network with the volumes that it may be asked about."""

    def __init__(
        self, checkpoint: str | os.PathLike, dataset: pd.DataFrame, store: VolumeStore, settings: ExplainSettings
    ):
        self.model, content = load_model(checkpoint)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model.to(self.device)
        self.pathologies, self.windows = content["pathologies"], content["windows"]
        self.preprocessing = PreprocessingSettings.from_config(content["preprocessing"])
        self.keys = dict(zip(dataset["volume"], dataset["key"], strict=True))
        self.store, self.settings = store, settings

    def explain(self, volume: str, pathology: str) -> tuple[np.ndarray, np.ndarray, str]:
        """HU and heat (z, y, x) of one volume for one pathology, and the method's name."""
        stored = torch.from_numpy(self.store.read(self.keys[volume]))[None].to(self.device)
        hu = to_hu(stored, self.preprocessing)
        column = self.pathologies.index(pathology)
        heat, method = saliency(self.model, to_input(hu, self.windows), column, self.settings)
        return hu[0, 0].cpu().numpy(), heat, method


def saliency(
    model: nn.Module, x_BCDHW: torch.Tensor, pathology: int, settings: ExplainSettings
) -> tuple[np.ndarray, str]:
    """Heat over the grid of one input (1, C, D, H, W) as (D, H, W), 0 to 1, and the method's name.

    A map that is zero everywhere (nothing speaks for the finding) stays zero. The same input gives the same map.
    """
    layer = None if settings.saliency == "gradient" else feature_layer(model, x_BCDHW)
    if layer is None:
        method = "gradient"
        heat = _smooth_gradient(model, x_BCDHW, pathology, settings.samples)
    else:
        method = "hires_cam" if settings.saliency == "auto" else settings.saliency
        heat = _class_activation(model, x_BCDHW, pathology, layer, mean_gradient=method == "grad_cam")
    heat = heat / heat.max().clamp(min=torch.finfo(heat.dtype).tiny)
    return heat.float().cpu().numpy(), METHODS[method]


def feature_layer(model: nn.Module, x_BCDHW: torch.Tensor) -> nn.Module | None:
    """The deepest module whose output still tells places apart; None for a transformer, which has patches instead."""
    if any(isinstance(module, nn.LayerNorm) for module in model.modules()):
        return None
    reached: list[nn.Module] = []

    def note(module: nn.Module, _: tuple, output: object) -> None:
        if isinstance(output, torch.Tensor) and output.dim() in (4, 5) and min(output.shape[2:]) >= FEWEST_VOXELS:
            reached.append(module)

    hooks = [module.register_forward_hook(note) for module in model.modules() if module is not model]
    try:
        with torch.no_grad():
            model(x_BCDHW)
    finally:
        for hook in hooks:
            hook.remove()
    return reached[-1] if reached else None


def _class_activation(
    model: nn.Module, x_BCDHW: torch.Tensor, pathology: int, layer: nn.Module, mean_gradient: bool
) -> torch.Tensor:
    """Feature maps weighted by the logit's gradient, what speaks against left out.

    By its mean over the map (Grad-CAM, Selvaraju et al., 2017), or at each place (HiResCAM, Draelos and Carin, 2020).
    """
    kept: list[torch.Tensor] = []
    hook = layer.register_forward_hook(lambda _, __, output: kept.append(output))
    try:
        with torch.enable_grad():
            logit = model(x_BCDHW.detach().requires_grad_())[0, pathology]
            (gradient,) = torch.autograd.grad(logit, kept[-1])
    finally:
        hook.remove()
    # A slice network's maps are (slices, C, h, w): the slices are the third axis.
    features, gradient = (_as_volume(each.detach()) for each in (kept[-1], gradient))
    if mean_gradient:
        gradient = gradient.mean(dim=(2, 3, 4), keepdim=True)
    heat = functional.relu((gradient * features).sum(dim=1, keepdim=True))
    return _upsampled(heat, x_BCDHW.shape[2:])


def _as_volume(maps: torch.Tensor) -> torch.Tensor:
    return maps if maps.dim() == 5 else maps.transpose(0, 1).unsqueeze(0)


def _upsampled(heat: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    return functional.interpolate(heat, tuple(shape), mode="trilinear", align_corners=False)[0, 0]


def _smooth_gradient(model: nn.Module, x_BCDHW: torch.Tensor, pathology: int, samples: int) -> torch.Tensor:
    """Gradient times input, averaged over noisy copies (Smilkov et al., 2017), then over neighbouring voxels."""
    generator = torch.Generator().manual_seed(0)
    total = torch.zeros_like(x_BCDHW)
    for _ in range(samples):
        noise = torch.randn(x_BCDHW.shape, generator=generator).to(x_BCDHW.device) * (2 * NOISE)
        noisy = (x_BCDHW + noise).detach().requires_grad_()
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(model(noisy)[0, pathology], noisy)
        total += gradient
    heat = (total / samples * (x_BCDHW + 1)).abs().sum(dim=1, keepdim=True)
    return functional.avg_pool3d(heat, SMOOTHED, stride=1, padding=SMOOTHED // 2, count_include_pad=False)[0, 0]
