"""What the training patients tell of a cohort: counts from its tables, geometry from a sample of its volumes."""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from scipy import ndimage

from hounsfield.cohort.dataset import splits_of_fold
from hounsfield.cohort.manifest import Manifest, build_manifest
from hounsfield.cohort.settings import CohortSettings, SplitSettings
from hounsfield.errors import TableError
from hounsfield.progress import progress
from hounsfield.volumes.preprocess import reading_settings
from hounsfield.volumes.read import read_volume
from hounsfield.volumes.volume import Volume, VolumeError

log = logging.getLogger(__name__)

BODY_HU = -500  # halfway between air and soft tissue
LOOK_MM = 4.0  # the body's box is looked for on voxels of about this size
REGION_MM = 150.0  # what is narrower was cut out of a scan, and has no outline of a body


@dataclass(frozen=True)
class CohortFacts:
    """What the rules need to know.

    volumes: count in each split. positives: training scans with each label. paths: files of all volumes.
    spacings, extents, needed: (N, 3), mm along (z, y, x) of the volumes that were read: of a voxel, of the scan, and
    what a field of view about the scan's middle takes to hold the body. refused: sampled volumes that cannot be used.
    """

    volumes: dict[str, int]
    positives: dict[str, int]
    paths: tuple[str, ...]
    spacings: np.ndarray
    extents: np.ndarray
    needed: np.ndarray
    refused: tuple[VolumeError, ...] = ()


def read_manifest(cohort: CohortSettings, split: SplitSettings, seed: int, results: Path) -> Manifest:
    """The manifest that the run in the folder `results` will make, with nothing written there.

    Raises what `build_manifest` raises.
    """
    with TemporaryDirectory() as folder:
        memory = Path(folder, "splits.tsv")
        remembered = Path(split.file) if split.file else results / "cohort" / "splits.tsv"
        if remembered.exists():
            memory.write_bytes(remembered.read_bytes())
        return build_manifest(cohort, replace(split, file=None), seed, memory)


def survey(
    manifest: Manifest, pathologies: Sequence[str], sample: int, seed: int, workers: int, fold: int | None = None
) -> CohortFacts:
    """Facts of the cohort; one volume of each of `sample` training patients is read, and of no other patient.

    fold: the one that is the validation split, if there are folds. Raises TableError if there is no training volume,
    or if none of those that were sampled can be used.
    """
    volumes = manifest.volumes.assign(split=splits_of_fold(manifest.volumes["split"], fold))
    train = volumes[volumes["split"] == "train"]
    if train.empty:
        raise TableError("no volume is in the train split, so there is nothing to plan; change split.fractions")
    rows = _sampled(train, sample, seed).assign(hu=manifest.hu).to_dict("records")
    with ThreadPoolExecutor(max(1, workers)) as pool:
        found = list(progress(pool.map(_measure, rows), len(rows), "volumes"))
    refused = tuple(item for item in found if isinstance(item, VolumeError))
    measured = np.array([item for item in found if not isinstance(item, VolumeError)])
    if not len(measured):
        raise TableError(f"none of {len(rows)} sampled training volumes can be used; the first: {refused[0]}")
    scans = train.groupby("scan")[list(pathologies)].max()
    return CohortFacts(
        volumes=volumes["split"].value_counts().to_dict(),
        positives={name: int((scans[name] == 1).sum()) for name in pathologies},
        paths=tuple(volumes["path"]),
        spacings=measured[:, 0],
        extents=measured[:, 1],
        needed=measured[:, 2],
        refused=refused,
    )


def needed_extent(volume: Volume) -> np.ndarray:
    """mm along (z, y, x) of the smallest field of view about the scan's middle that holds the body.

    The body is the largest part above BODY_HU once thin things, such as a table's shell, are opened away.
    """
    spacing = np.array(volume.spacing)
    extent = np.array(volume.hu.shape) * spacing
    if extent[1:].max() < REGION_MM:
        return extent
    steps = np.maximum(1, np.rint(LOOK_MM / spacing)).astype(int)
    body = volume.hu[tuple(slice(None, None, step) for step in steps)] > BODY_HU
    parts, count = ndimage.label(ndimage.binary_opening(body, np.ones((1, 3, 3))))
    if not count:
        return extent
    largest = ndimage.find_objects(parts)[np.argmax(np.bincount(parts.ravel())[1:])]
    first = np.array([part.start for part in largest]) * steps * spacing
    last = np.minimum(np.array([part.stop for part in largest]) * steps * spacing, extent)
    return 2 * np.maximum(extent / 2 - first, last - extent / 2)


def _sampled(train: pd.DataFrame, sample: int, seed: int) -> pd.DataFrame:
    patients = np.sort(train["patient"].unique())
    chosen = np.random.default_rng(seed).permutation(patients)[:sample]
    return train[train["patient"].isin(chosen)].drop_duplicates("patient")


def _measure(row: dict[str, Any]) -> tuple | VolumeError:
    try:
        volume = read_volume(row["path"], **reading_settings(row))
    except VolumeError as error:
        log.warning("%s; it is left out", error)
        return error
    extent = np.array(volume.hu.shape) * volume.spacing
    return volume.spacing, tuple(extent), tuple(needed_extent(volume))
