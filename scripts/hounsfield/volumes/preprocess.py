"""From a shard's table to volumes in the store."""

import logging
import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd

from hounsfield.errors import StoreError
from hounsfield.progress import progress
from hounsfield.volumes.read import read_volume
from hounsfield.volumes.resample import resample
from hounsfield.volumes.settings import PreprocessingSettings
from hounsfield.volumes.store import VolumeStore
from hounsfield.volumes.volume import VolumeError

log = logging.getLogger(__name__)

AXES = ("z", "y", "x")
COLUMNS = ["volume", "key", "digest", "hu_source", "reason", "detail"]
COLUMNS += [f"shape_{axis}" for axis in AXES] + [f"spacing_{axis}" for axis in AXES]


def preprocess_shard(
    rows: pd.DataFrame, store: VolumeStore, settings: PreprocessingSettings, workers: int
) -> pd.DataFrame:
    """Store each volume of `rows` (columns of shards/*.tsv) that is not yet there, whole by its header and size.

    Voxels are verified when they are read. Returns a row a volume: its key and source geometry, or the reason why it
    has none. Raises OSError if the disk is full: what was stored before stays, and the next run goes on from there.
    """
    _forecast(rows, store, settings)
    records = rows.to_dict("records")
    with ThreadPoolExecutor(max(1, workers)) as pool:
        done = pool.map(lambda row: _store_volume(row, store, settings), records)
        results = list(progress(done, len(records), "volumes"))
    failed = sum(1 for result in results if result.get("reason"))
    log.info("%d volumes stored, %d refused", len(results) - failed, failed)
    return pd.DataFrame(results, columns=COLUMNS)


def reading_settings(row: dict[str, Any]) -> dict[str, Any]:
    """What `read_volume` is told about one volume: HU policy, and the table's rescale and spacing if it has any."""
    return {
        "hu": row["hu"],
        "rescale": _complete(row, ("slope", "intercept")),
        "spacing": _complete(row, tuple(f"spacing_{axis}" for axis in AXES)),
    }


def _complete(row: dict[str, Any], names: tuple[str, ...]) -> tuple[float, ...] | None:
    values = tuple(float(row[name]) for name in names)
    return None if np.isnan(values).any() else values


def _store_volume(row: dict[str, Any], store: VolumeStore, settings: PreprocessingSettings) -> dict[str, Any]:
    reading = reading_settings(row)
    key = store.key(row["identity"], reading, settings.canonical())
    facts = _stored_facts(store, key)
    if facts is None:
        try:
            volume = read_volume(row["path"], **reading)
        except VolumeError as error:
            log.warning("%s", error)
            return {"volume": row["volume"], "reason": error.reason, "detail": error.detail}
        facts = _facts(volume)
        facts["digest"] = store.write(key, resample(volume, settings), facts)
    return {"volume": row["volume"], "key": key} | {name: facts[name] for name in COLUMNS if name in facts}


def _stored_facts(store: VolumeStore, key: str) -> dict[str, Any] | None:
    if key not in store:
        return None
    try:
        return store.facts(key)
    except StoreError as error:
        log.warning("%s; it is made again", error)
        return None


def _facts(volume: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {"hu_source": volume.hu_source}
    for axis, n, mm in zip(AXES, volume.hu.shape, volume.spacing, strict=True):
        facts |= {f"shape_{axis}": int(n), f"spacing_{axis}": float(mm)}
    return facts


def _forecast(rows: pd.DataFrame, store: VolumeStore, settings: PreprocessingSettings) -> None:
    store.root.mkdir(parents=True, exist_ok=True)
    most = len(rows) * int(np.prod(settings.shape)) * np.dtype(settings.dtype).itemsize
    free = shutil.disk_usage(store.root).free
    log.info("%d volumes, at most %.2f GB before compression; %.1f GB free", len(rows), most / 1e9, free / 1e9)
