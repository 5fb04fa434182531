"""Deciding whether values are Hounsfield units, and applying one rescale, once.

Padding outside the field of view (-2000, -3024, NaN, ...) becomes air; it is not a measurement.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from hounsfield.compiled import vectorize
from hounsfield.volumes.settings import AIR_HU
from hounsfield.volumes.volume import VolumeError

Rescale = tuple[float, float]

# No tissue and no noise reaches below this: what lies lower is padding.
PADDING_BELOW_HU = -1500
# Lossy compression and noise spread a constant padding this far.
PADDING_SPREAD_HU = 100
# Metal is stored up to 3071 by 12-bit scanners, up to 31743 by extended scales, as a few voxels.
HIGHEST_COMMON_HU = 5000
SAMPLES = 200_000


@dataclass(frozen=True)
class HuProblem:
    """Why values cannot be HU: a stable reason, and a sentence."""

    reason: str
    detail: str


def choose_hu(
    raw: np.ndarray, header: Rescale, policy: str, table: Rescale | None, path: str
) -> tuple[np.ndarray, str]:
    """HU from stored values (any shape), and where they came from: `header` or `table`.

    header: slope and intercept of the file's own header. table: those that a table claims for the stored values.
    policy: header, table, or auto: whichever alone gives HU. Raises VolumeError (`not_hu`, `windowed`, `constant`,
    `infinite`, `ambiguous_hu`, `no_rescale`).
    """
    values = _sample(raw, path)
    candidates = {"header": header} if policy != "table" else {}
    if policy == "table" and table is None:
        raise VolumeError("no_rescale", "cohort.hu is table, but the table gives no slope and intercept", path)
    if policy != "header" and table is not None:
        candidates["table"] = table
    found = {source: find_hu_problem(values * slope + intercept) for source, (slope, intercept) in candidates.items()}
    sound = [source for source, doubt in found.items() if doubt is None]
    doubts = {source: doubt for source, doubt in found.items() if doubt is not None}
    if len(sound) == 2 and candidates["header"] != candidates["table"]:
        raise VolumeError("ambiguous_hu", _two_answers(values, candidates), path)
    if not sound:
        doubt = next(iter(doubts.values()))
        tried = "" if len(doubts) == 1 else f"; the table's rescale does not help ({doubts['table'].detail})"
        raise VolumeError(doubt.reason, doubt.detail + tried, path)
    return apply_rescale(raw, candidates[sound[0]]), sound[0]


def find_hu_problem(values: np.ndarray) -> HuProblem | None:
    """What speaks against `values` (finite, any shape) being HU of a CT; None if nothing does."""
    values = without_padding(values)
    if values.size == 0 or values.min() == values.max():
        return HuProblem("constant", "all voxels have one value; the volume is empty")
    low, bottom, top, high = np.quantile(values, [0, 0.01, 0.99, 1])
    seen = f"values run from {low:g} to {high:g}, 98 % of them from {bottom:g} to {top:g}"
    if high - low <= 2 or (low >= 0 and high <= 255):
        return HuProblem("windowed", f"{seen}: a window was applied before; give the volume in HU")
    if bottom >= 0 and _has_peak_near_zero(values):
        return HuProblem("not_hu", f"{seen}: stored values without their intercept; give it in a table (cohort.hu)")
    if bottom > -20 and top > 300:  # fat, lung or air would lie lower
        return HuProblem("not_hu", f"{seen}: nothing is below water, so an intercept is missing; give it in a table")
    if low > -900 and (values == low).mean() > 0.2:
        return HuProblem("windowed", f"{seen}, many at {low:g}: a window was applied before; give the volume in HU")
    if bottom < -1200:
        return HuProblem("not_hu", f"{seen}: air is far below -1000, as if HU were converted twice")
    if top > HIGHEST_COMMON_HU:
        return HuProblem("not_hu", f"{seen}: far above bone and metal; the rescale is wrong")
    return None


def apply_rescale(raw: np.ndarray, rescale: Rescale) -> np.ndarray:
    """`raw` * slope + intercept, padding made air: int16 where that is exact, else float32."""
    slope, intercept = rescale
    whole = np.issubdtype(raw.dtype, np.integer) and float(slope).is_integer() and float(intercept).is_integer()
    if not whole:
        hu = raw.astype(np.float32) * np.float32(slope) + np.float32(intercept)
        hu[~(hu > PADDING_BELOW_HU)] = AIR_HU
        rounded = np.rint(hu)
        exact = np.array_equal(rounded, hu) and rounded.max() <= np.iinfo(np.int16).max
        return rounded.astype(np.int16) if exact else hu
    if raw.dtype == np.int16 and (slope, intercept) == (1, 0):
        return _air_for_padding(raw) if raw.min() <= PADDING_BELOW_HU else raw
    bounds = [int(end) * int(slope) + int(intercept) for end in (raw.min(), raw.max())]
    limits = np.iinfo(np.int16)
    if max(abs(slope), abs(intercept), *map(abs, bounds)) <= limits.max:
        # Arithmetic modulo 2**16 is exact where the result fits, and needs no wider copy of the volume.
        whole_hu: np.ndarray = raw.astype(np.int16) * np.int16(slope) + np.int16(intercept)
    else:
        whole_hu = (raw.astype(np.int64) * int(slope) + int(intercept)).clip(limits.min, limits.max).astype(np.int16)
    if min(bounds) <= PADDING_BELOW_HU:
        whole_hu = _air_for_padding(whole_hu)
    return whole_hu


@vectorize
def _air_for_padding(hu: Any) -> Any:
    """In one pass; numpy's comparison and choice take several times as long."""
    return np.int16(AIR_HU) if hu <= PADDING_BELOW_HU else hu


def _sample(raw: np.ndarray, path: str) -> np.ndarray:
    """Some voxels of all the volume, finite, as float64."""
    if np.issubdtype(raw.dtype, np.floating) and np.isinf(raw).any():
        raise VolumeError("infinite", "some voxels are infinite; write the volume again", path)
    step = max(1, int(np.ceil((raw.size / SAMPLES) ** (1 / 3))))
    values = raw[tuple(slice(None, None, step) for _ in raw.shape)].astype(np.float64).ravel()
    values = values[~np.isnan(values)]
    if values.size == 0:
        raise VolumeError("constant", "all voxels are NaN", path)
    return values


def without_padding(values: np.ndarray) -> np.ndarray:
    """`values` less those that pad the field of view: one constant below all tissue, seen beside real tissue.

    HU converted twice have their air there, too; but what is left of them then lacks the values of water and fat.
    """
    is_low = values <= PADDING_BELOW_HU
    low, rest = values[is_low], values[~is_low]
    if low.size == 0 or rest.size == 0:
        return values
    constant = (np.abs(low - np.median(low)) <= PADDING_SPREAD_HU).mean() > 0.9
    tissue = ((rest > -200) & (rest < 300)).mean() > 0.05
    return rest if constant and tissue else values


def _has_peak_near_zero(values: np.ndarray) -> bool:
    """Air, at 0 to 100 of values stored with 1024 added, with water near 1024."""
    return (values <= 100).mean() > 0.02 and (values > 700).mean() > 0.02


def _two_answers(values: np.ndarray, candidates: dict[str, Rescale]) -> str:
    ranges = []
    for source, (slope, intercept) in candidates.items():
        low, high = np.quantile(values * slope + intercept, [0.01, 0.99])
        ranges.append(f"{source} (slope {slope:g}, intercept {intercept:g}) gives {low:g} to {high:g}")
    return f"both are possible: {'; '.join(ranges)}; set cohort.hu to header or table"
