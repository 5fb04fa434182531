"""The dear steps of augmentation on CPU cores, several times as fast as by torch's operators."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numba
import numpy as np
import torch


def sample_affine(volumes: torch.Tensor, maps: np.ndarray, outside: float) -> torch.Tensor:
    """Linear interpolation of float32 `volumes` (B, 1, D, H, W), in torch's number of threads.

    As `grid_sample` does it, but without a grid in memory.
    maps: (B, 3, 4), from an output voxel's index (z, y, x, 1) to the index where it is read.
    outside: the value beyond the volume.
    """
    result = _empty_like(volumes)
    slabs = -(-torch.get_num_threads() // len(volumes))
    edges = np.linspace(0, volumes.shape[2], slabs + 1).astype(int)
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        done = []
        for volume, matrix, out in zip(
            volumes[:, 0].numpy(), maps.astype(np.float32), result[:, 0].numpy(), strict=True
        ):
            # A margin of one voxel before and two behind, so that no tap needs a check.
            padded = np.pad(volume, (1, 2), constant_values=outside)
            done += [pool.submit(_sample, padded.ravel(), matrix, out, first, last) for first, last in pairwise(edges)]
        for slab in done:
            slab.result()
    return result


def scale_and_add_noise(
    volumes: torch.Tensor, factor: np.ndarray, offset: np.ndarray, deviation: np.ndarray, seeds: Sequence[int]
) -> torch.Tensor:
    """factor * v + offset + noise, of each float32 volume v of the contiguous (B, 1, D, H, W).

    factor, offset, deviation: (B,). The noise of a voxel is a function of the volume's seed and the voxel's index.
    """
    columns = (column.astype(np.float32) for column in (factor, offset, deviation))
    result = _empty_like(volumes)
    flat = [[volume.view(-1).numpy() for volume in batch] for batch in (volumes, result)]
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        list(pool.map(_scale_and_add_noise, *flat, *columns, np.array(seeds, np.uint64)))
    return result


def _empty_like(volumes: torch.Tensor) -> torch.Tensor:
    """In numpy's memory: it asks the kernel for huge pages, which saves most of the first touch's time."""
    return torch.from_numpy(np.empty(volumes.shape, np.float32))


@numba.njit(nogil=True, cache=True, fastmath=True)
def _scale_and_add_noise(values, out, factor, offset, deviation, seed):
    """Noise is a sum of 8 uniform bytes (Irwin-Hall: normal but for an excess kurtosis of -0.15)."""
    mean, scale = np.float32(8 * 127.5), deviation / np.float32(np.sqrt(8 * (256**2 - 1) / 12))
    bytes_of_pairs = np.uint64(0x00FF00FF00FF00FF)
    for index in range(values.size):
        # splitmix64 (Steele, Lea and Flood 2014) of a counter: 64 random bits.
        bits = (seed + np.uint64(index)) * np.uint64(0x9E3779B97F4A7C15)
        bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        bits ^= bits >> np.uint64(31)
        pairs = (bits & bytes_of_pairs) + ((bits >> np.uint64(8)) & bytes_of_pairs)
        total = np.int32((pairs * np.uint64(0x0001000100010001)) >> np.uint64(48))
        out[index] = values[index] * factor + offset + scale * (np.float32(total) - mean)


@numba.njit(nogil=True, cache=True, fastmath=True)
def _sample(padded, matrix, out, first, last):
    depth, height, width = out.shape
    row_step, plane_step = np.int32(width + 3), np.int32((height + 3) * (width + 3))
    top_z, top_y, top_x = np.float32(depth + 1), np.float32(height + 1), np.float32(width + 1)
    one, zero, following = np.float32(1), np.float32(0), np.uint64(1)
    step_z, step_y, step_x = matrix[0, 2], matrix[1, 2], matrix[2, 2]
    for z in range(first, last):
        for y in range(height):
            at = np.float32(z) * matrix[:, 0] + np.float32(y) * matrix[:, 1] + matrix[:, 3] + one
            begin_z, begin_y, begin_x = at
            row = out[z, y]
            for x in range(width):
                offset = np.float32(x)
                source_z = min(max(begin_z + step_z * offset, zero), top_z)
                source_y = min(max(begin_y + step_y * offset, zero), top_y)
                source_x = min(max(begin_x + step_x * offset, zero), top_x)
                index_z, index_y, index_x = np.int32(source_z), np.int32(source_y), np.int32(source_x)
                weight_z = source_z - np.float32(index_z)
                weight_y = source_y - np.float32(index_y)
                weight_x = source_x - np.float32(index_x)
                # Unsigned, as Python's negative indices would cost a branch each.
                tap = np.uint64(np.uint32(index_z * plane_step + index_y * row_step + index_x))
                below, behind = tap + np.uint64(row_step), tap + np.uint64(plane_step)
                corner = behind + np.uint64(row_step)
                a = padded[tap] + weight_x * (padded[tap + following] - padded[tap])
                b = padded[below] + weight_x * (padded[below + following] - padded[below])
                c = padded[behind] + weight_x * (padded[behind + following] - padded[behind])
                d = padded[corner] + weight_x * (padded[corner + following] - padded[corner])
                a += weight_y * (b - a)
                c += weight_y * (d - c)
                row[x] = a + weight_z * (c - a)
