"""From stored voxels to the network's augmented input on CPU cores, in one pass over the memory."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import torch
from numpy.lib.stride_tricks import as_strided

from hounsfield.compiled import njit


def render(
    volumes: torch.Tensor,
    maps: np.ndarray | None,
    outside: int,
    scale: np.ndarray,
    offset: np.ndarray,
    deviation: np.ndarray,
    seeds: Sequence[int],
    windows: Sequence[tuple[float, float]],
) -> torch.Tensor:
    """Stored int16 or uint8 `volumes` (B, D, H, W) to float32 (B, C, D, H, W), in torch's number of threads.

    Interpolate linearly, as `grid_sample` does, but without a grid in memory; HU = scale * v + offset + noise; each
    window of HU is a channel, from -1 to 1.
    maps: (B, 3, 4), from an output voxel's index (z, y, x, 1) to the index where it is read; None: all stay in place.
    outside: the stored value beyond the volume. scale, offset, deviation: (B,). The noise of a voxel is a function of
    the volume's seed and the voxel's index.
    """
    # In numpy's memory: it asks the kernel for huge pages, which saves most of the first touch's time.
    result = np.empty((len(volumes), len(windows), *volumes.shape[1:]), np.float32)
    threads = torch.get_num_threads()
    edges = np.linspace(0, volumes.shape[1], -(-threads // len(volumes)) + 1).astype(int)
    columns = np.stack([scale, offset, deviation], axis=1).astype(np.float32)
    windows = np.array(windows, np.float32)
    with ThreadPoolExecutor(threads) as pool:
        done = []
        for index, volume in enumerate(volumes.numpy()):
            matrix = None if maps is None else maps[index].astype(np.float32)
            keys = np.random.SeedSequence(seeds[index]).generate_state(2)
            rest = (matrix, columns[index], keys, windows, result[index])
            padded = _padded(volume, outside)
            done += [pool.submit(_render, padded, _pairs(padded), *rest, *slab) for slab in pairwise(edges)]
        for slab in done:
            slab.result()
    return torch.from_numpy(result)


def stored_means(volumes: torch.Tensor) -> np.ndarray:
    """Means (B,) of stored `volumes` (B, D, H, W), from exact sums."""
    return np.array([_sum(volume.ravel()) / volume.size for volume in volumes.numpy()])


def _padded(volume: np.ndarray, outside: int) -> np.ndarray:
    """int16, with a margin of one voxel before and two behind, so that no tap needs a check."""
    padded = np.full([n + 3 for n in volume.shape], outside, np.int16)
    padded[1:-2, 1:-2, 1:-2] = volume
    return padded


def _pairs(padded: np.ndarray) -> np.ndarray:
    """Each voxel with the next one, as an int32: one load where two would be, half of the work of interpolation."""
    return as_strided(padded.ravel()[:2].view(np.int32), (padded.size - 1,), (padded.itemsize,), writeable=False)


@njit(nogil=True)
def _sum(values):
    total = np.int64(0)
    for value in values:
        total += value
    return total


@njit(nogil=True, fastmath=True)
def _render(padded, pairs, matrix, column, keys, windows, out, first, last):
    """Planes `first` to `last`, row by row: what a row needs stays in the nearest cache."""
    _, _, height, width = out.shape
    scale, offset, deviation = column
    row, sites = np.empty(width, np.float32), np.empty(width, np.int32)
    weights, taps = np.empty((3, width), np.float32), np.empty((4, width), np.int32)
    for z in range(first, last):
        for y in range(height):
            if matrix is None:
                for x in range(width):
                    row[x] = np.float32(padded[z + 1, y + 1, x + 1])
            else:
                _locate(matrix, z, y, padded.shape, sites, weights)
                _fetch(pairs, padded.shape, sites, taps)
                _interpolate(taps, weights, row)
            for x in range(width):
                row[x] = row[x] * scale + offset
            if deviation != 0:
                _add_noise(row, deviation, keys, (z * height + y) * width)
            for channel in range(len(windows)):
                _clip(row, windows[channel], out[channel, z, y])


@njit(nogil=True, fastmath=True)
def _locate(matrix, z, y, shape, sites, weights):
    """Where the voxels of a row are read: the first of the eight voxels of each, and how far it lies from that."""
    plane, line = np.int32(shape[1] * shape[2]), np.int32(shape[2])
    begin_z, begin_y, begin_x = _begin(matrix[0], z, y), _begin(matrix[1], z, y), _begin(matrix[2], z, y)
    step_z, step_y, step_x = matrix[0, 2], matrix[1, 2], matrix[2, 2]
    top_z, top_y, top_x = np.float32(shape[0] - 2), np.float32(shape[1] - 2), np.float32(shape[2] - 2)
    weight_z, weight_y, weight_x = weights[0], weights[1], weights[2]
    for x in range(len(sites)):
        along = np.float32(np.int32(x))
        at_z = min(max(begin_z + step_z * along, np.float32(0)), top_z)
        at_y = min(max(begin_y + step_y * along, np.float32(0)), top_y)
        at_x = min(max(begin_x + step_x * along, np.float32(0)), top_x)
        index_z, index_y, index_x = np.int32(at_z), np.int32(at_y), np.int32(at_x)
        weight_z[x] = at_z - np.float32(index_z)
        weight_y[x] = at_y - np.float32(index_y)
        weight_x[x] = at_x - np.float32(index_x)
        sites[x] = np.int32(index_z * plane + index_y * line + index_x)


@njit(nogil=True, fastmath=True)
def _begin(line, z, y):
    return np.float32(z) * line[0] + np.float32(y) * line[1] + line[3] + np.float32(1)


@njit(nogil=True, fastmath=True)
def _fetch(pairs, shape, sites, taps):
    """A loop of its own, as the compiler vectorises the others and cannot vectorise this one."""
    below, behind = pairs[shape[2] :], pairs[shape[1] * shape[2] :]
    corner = behind[shape[2] :]
    for x in range(len(sites)):
        # Unsigned, as Python's negative indices would cost a branch each.
        site = np.uint64(np.uint32(sites[x]))
        taps[0, x] = pairs[site]
        taps[1, x] = below[site]
        taps[2, x] = behind[site]
        taps[3, x] = corner[site]


@njit(nogil=True, fastmath=True)
def _interpolate(taps, weights, row):
    here, below, behind, corner = taps[0], taps[1], taps[2], taps[3]
    weight_z, weight_y, weight_x = weights[0], weights[1], weights[2]
    for x in range(len(row)):
        a, b = _between(here[x], weight_x[x]), _between(below[x], weight_x[x])
        c, d = _between(behind[x], weight_x[x]), _between(corner[x], weight_x[x])
        a += weight_y[x] * (b - a)
        c += weight_y[x] * (d - c)
        row[x] = a + weight_z[x] * (c - a)


@njit(nogil=True, fastmath=True)
def _between(pair, weight):
    """Of the two int16 of a pair on a machine whose low bytes come first."""
    first, second = np.float32(np.int16(pair)), np.float32(np.int16(pair >> 16))
    return first + weight * (second - first)


@njit(nogil=True, fastmath=True)
def _add_noise(row, deviation, keys, begin):
    """A sum of 8 uniform bytes a voxel (Irwin-Hall: normal but for an excess kurtosis of -0.15).

    The bytes are two 32-bit hashes of the voxel's index (the second of the first), as processors multiply eight
    32-bit numbers at once. Rounds and constants of `lowbias32` and `triple32` (Wellons 2018, Hash Prospector).
    """
    mean, scale = np.float32(8 * 127.5), deviation / np.float32(np.sqrt(8 * (256**2 - 1) / 12))
    first, second = keys[0], keys[1]
    for x in range(len(row)):
        bits = np.uint32(np.uint32(begin + x) ^ first)
        bits = _product(_mixed(bits, 16), 0x7FEB352D)
        bits = _product(_mixed(np.uint32(bits ^ second), 15), 0x846CA68B)
        bits = _mixed(bits, 16)
        more = _product(bits, 0xED5AD4BB)
        more = _product(_mixed(more, 11), 0xAC4C1B51)
        more = _mixed(more, 15)
        pairs = np.uint32(_sums_of_bytes(bits) + _sums_of_bytes(more))
        total = np.int32(pairs & np.uint32(0xFFFF)) + np.int32(pairs >> np.uint32(16))
        row[x] += scale * (np.float32(np.int32(total)) - mean)


# numba widens the results of 32-bit operations to 64 bits: these take them back, so that eight are done at once.
@njit(nogil=True)
def _mixed(bits, shift):
    return np.uint32(bits ^ np.uint32(bits >> np.uint32(shift)))


@njit(nogil=True)
def _product(bits, factor):
    return np.uint32(bits * np.uint32(factor))


@njit(nogil=True)
def _sums_of_bytes(bits):
    """The two sums of the first and second, and of the third and fourth byte, in 16 bits each."""
    even, odd = np.uint32(bits & np.uint32(0x00FF00FF)), np.uint32(bits >> np.uint32(8))
    return np.uint32(even + np.uint32(odd & np.uint32(0x00FF00FF)))


@njit(nogil=True, fastmath=True)
def _clip(row, window, out):
    low, high = window[0], window[1]
    gain = np.float32(2) / (high - low)
    bias = np.float32(-1) - low * gain
    for x in range(len(row)):
        out[x] = min(max(row[x] * gain + bias, np.float32(-1)), np.float32(1))
