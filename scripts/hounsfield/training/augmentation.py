"""Random changes of a batch, on its device, in HU, mm and degrees.

What is drawn depends on the run's seed, the epoch and the sample alone: neither threads nor a restart change it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from hounsfield.training.cpu_kernels import render, stored_means
from hounsfield.training.data import hu_of_stored, to_hu, to_input
from hounsfield.training.settings import AugmentationSettings
from hounsfield.volumes.settings import AIR_HU, PreprocessingSettings


@dataclass(frozen=True)
class Draws:
    """What was drawn for a batch of B samples; angles in radians, lengths in mm, axes (z, y, x)."""

    flip: np.ndarray
    angles: np.ndarray
    scale: np.ndarray
    translation: np.ndarray
    noise: np.ndarray
    blur: np.ndarray
    contrast: np.ndarray
    shift: np.ndarray
    seeds: list[int]

    @property
    def moves(self) -> bool:
        """Whether any sample is rotated, scaled or translated."""
        return bool(self.angles.any() or self.translation.any() or (self.scale != 1).any())


def draw(settings: AugmentationSettings, seed: int, epoch: int, sample_seeds: np.ndarray) -> Draws:
    """Draw the changes of each sample from (seed, epoch, sample); `sample_seeds` (B,) of `data.sample_seed`."""
    rows = [_draw_sample(settings, np.random.default_rng([seed, epoch, int(sample)])) for sample in sample_seeds]
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    return Draws(*columns[:-1], [int(value) for value in columns[-1]])  # type: ignore[arg-type, call-arg]


def augmented_input(
    volumes: torch.Tensor,
    draws: Draws,
    preprocessing: PreprocessingSettings,
    windows: Sequence[tuple[float, float]],
) -> torch.Tensor:
    """Stored voxels (B, D, H, W) to the network's input (B, C, D, H, W), changed as drawn; each window a channel.

    What comes in from outside is air, as the store holds it. On the CPU one kernel does it all, unless something is
    to be blurred, with noise of another generator than torch's.
    """
    if volumes.device.type == "cpu" and not draws.blur.any():
        return _rendered(volumes, draws, preprocessing, windows)
    scale, offset = hu_of_stored(preprocessing)
    air = scale * _stored_air(preprocessing) + offset
    return to_input(augment(to_hu(volumes, preprocessing), draws, preprocessing.spacing, air), windows)


def augment(hu: torch.Tensor, draws: Draws, spacing: tuple[float, float, float], air: float = AIR_HU) -> torch.Tensor:
    """Change HU (B, 1, D, H, W) of voxels of `spacing` mm (z, y, x), by torch's operators on any device.

    air: the HU of what comes in from outside.
    """
    mean = hu.mean(dim=(1, 2, 3, 4), dtype=torch.float32)
    hu = _transform(hu, draws, spacing, air) if draws.moves else _flip(hu, draws)
    if draws.blur.any():
        hu = _blur(hu, draws, spacing)
    return _intensities(hu, mean, draws)


def matrices(draws: Draws) -> np.ndarray:
    """(B, 3, 3) maps in mm, (z, y, x), about the centre: what is at p goes to matrix @ p + translation."""
    result = []
    for (a, b, c), scale, flip in zip(draws.angles, draws.scale, draws.flip, strict=True):
        about_z = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
        about_y = np.array([[np.cos(b), 0, -np.sin(b)], [0, 1, 0], [np.sin(b), 0, np.cos(b)]])
        about_x = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
        mirror = np.diag([1, 1, -1 if flip else 1])
        result.append(scale * (about_z @ about_y @ about_x @ mirror))
    return np.stack(result)


def _draw_sample(settings: AugmentationSettings, random: np.random.Generator) -> tuple:
    def both(limit: float, size: int | tuple[int, ...] | None = None) -> np.ndarray:
        return random.uniform(-limit, limit, size)

    return (
        random.random() < settings.flip,
        np.radians(both(settings.rotation, 3)),
        random.uniform(*settings.scale),
        both(settings.translation, 3),
        random.uniform(0, settings.noise),
        random.uniform(0, settings.blur),
        random.uniform(*settings.contrast),
        both(settings.shift),
        random.integers(2**63),
    )


def _flip(hu: torch.Tensor, draws: Draws) -> torch.Tensor:
    """Left to right: the last axis, x, runs to the patient's left."""
    if not draws.flip.any():
        return hu
    return torch.where(_each(draws.flip, hu) > 0, hu.flip(-1), hu)


def _rendered(
    volumes: torch.Tensor,
    draws: Draws,
    preprocessing: PreprocessingSettings,
    windows: Sequence[tuple[float, float]],
) -> torch.Tensor:
    scale, offset = hu_of_stored(preprocessing)
    mean = scale * stored_means(volumes) + offset
    maps = None
    if draws.moves or draws.flip.any():
        maps = _index_maps(*_inverse(draws), volumes.shape[1:], preprocessing.spacing)
    # Contrast about the mean, then shift.
    rescale = draws.contrast * scale, draws.contrast * (offset - mean) + mean + draws.shift
    return render(volumes, maps, _stored_air(preprocessing), *rescale, draws.noise, draws.seeds, windows)


def _stored_air(preprocessing: PreprocessingSettings) -> int:
    return int(preprocessing.encode(np.array(AIR_HU, np.float32)))


def _inverse(draws: Draws) -> tuple[np.ndarray, np.ndarray]:
    """Maps (B, 3, 3) and offsets (B, 3, 1) in mm about the centre, from where a voxel goes to where it comes from."""
    inverse = np.linalg.inv(matrices(draws))
    return inverse, -inverse @ draws.translation[:, :, None]


def _index_maps(inverse: np.ndarray, offset: np.ndarray, shape: tuple, spacing: tuple) -> np.ndarray:
    """(B, 3, 4) from index to index, of maps (B, 3, 3) and offsets (B, 3, 1) in mm about the centre."""
    mm, centre = np.array(spacing)[:, None], (np.array(shape)[:, None] - 1) / 2
    linear = inverse * mm.T / mm
    return np.concatenate([linear, offset / mm + centre - linear @ centre], axis=2)


def _transform(hu: torch.Tensor, draws: Draws, spacing: tuple[float, float, float], air: float) -> torch.Tensor:
    """Flip, rotate, scale and move. grid_sample wants each voxel's source in units of half the extent."""
    inverse, offset = _inverse(draws)
    half_extent = np.array(hu.shape[2:]) * spacing / 2
    theta = np.concatenate([inverse * half_extent, offset], axis=2) / half_extent[:, None]
    # Its coordinates are (x, y, z).
    theta = theta[:, ::-1][:, :, [2, 1, 0, 3]]
    grid = _grid(_on_device(theta, hu), hu.shape[2:])
    return functional.grid_sample(hu - air, grid, align_corners=False, padding_mode="zeros") + air


def _grid(theta: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """torch's affine_grid of `theta` (B, 3, 4) over `shape` (D, H, W), as a sum of three axes: one pass over memory."""
    offset = theta[:, None, :, 3]
    z, y, x = (
        theta[:, None, :, column] * ((2 * torch.arange(n, device=theta.device) + 1) / n - 1)[:, None]
        for column, n in zip((2, 1, 0), shape, strict=True)
    )
    return (z + offset)[:, :, None, None] + y[:, None, :, None] + x[:, None, None]


def _blur(hu: torch.Tensor, draws: Draws, spacing: tuple[float, float, float]) -> torch.Tensor:
    """Gaussian, one sigma in mm a sample, axis by axis."""
    batch = hu.shape[0]
    for axis, step in enumerate(spacing):
        radius = max(1, int(np.ceil(3 * draws.blur.max() / step)))
        distance = np.arange(-radius, radius + 1) * step
        kernel = np.exp(-0.5 * (distance / np.maximum(draws.blur, 1e-3)[:, None]) ** 2)
        kernel = _on_device(kernel / kernel.sum(axis=1, keepdims=True), hu)
        size = [1, 1, 1]
        size[axis] = 2 * radius + 1
        padding = [0, 0, 0, 0, 0, 0]
        padding[2 * (2 - axis) : 2 * (2 - axis) + 2] = [radius, radius]
        padded = functional.pad(hu.transpose(0, 1), padding, mode="replicate")
        hu = functional.conv3d(padded, kernel.view(batch, 1, *size), groups=batch).transpose(0, 1)
    return hu


def _intensities(hu: torch.Tensor, mean: torch.Tensor, draws: Draws) -> torch.Tensor:
    """Contrast about the mean (B,) of each volume as it was stored, shift and noise."""
    offset = mean.view(-1, 1, 1, 1, 1) * (1 - _each(draws.contrast, hu)) + _each(draws.shift, hu)
    noise = torch.empty_like(hu)
    generator = torch.Generator(hu.device)
    for sample, seed in enumerate(draws.seeds):
        noise[sample].normal_(generator=generator.manual_seed(seed))
    return noise.mul_(_each(draws.noise, hu)).addcmul_(hu, _each(draws.contrast, hu)).add_(offset)


def _each(values: np.ndarray, hu: torch.Tensor) -> torch.Tensor:
    return _on_device(values, hu).view(-1, 1, 1, 1, 1)


def _on_device(values: np.ndarray, hu: torch.Tensor) -> torch.Tensor:
    """`values` as float32 beside `hu`; the copy is queued, or each would wait for all that the GPU has yet to do."""
    return torch.from_numpy(np.ascontiguousarray(values, np.float32)).to(hu.device, non_blocking=True)
