"""From a shard's table to volumes in the store."""

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd

from hounsfield.errors import HounsfieldError, StoreError
from hounsfield.progress import progress
from hounsfield.volumes.forecast import forecast
from hounsfield.volumes.read import read_volume
from hounsfield.volumes.resample import resample
from hounsfield.volumes.settings import PreprocessingSettings
from hounsfield.volumes.store import VolumeStore
from hounsfield.volumes.volume import VolumeError

log = logging.getLogger(__name__)

AXES = ("z", "y", "x")
COLUMNS = ["volume", "key", "digest", "hu_source", "reason", "detail"]
COLUMNS += [f"shape_{axis}" for axis in AXES] + [f"spacing_{axis}" for axis in AXES]
# Not the file's fault: a folder that is no longer mounted must not end as a cohort without volumes.
GONE = ("missing", "unreadable")
# Columns of shards/*.tsv that are no numbers, whatever they look like.
SHARD_TEXT = ("volume", "path", "identity", "hu")


def preprocess_shard(
    rows: pd.DataFrame, store: VolumeStore, settings: PreprocessingSettings, workers: int, shards: int = 1
) -> pd.DataFrame:
    """Store each volume of `rows` (columns of shards/*.tsv) that is not yet there, whole by its header and size.

    The log first says what that will take, for this one of the run's `shards`. Voxels are verified when they are
    read. Returns a row a volume: its key and source geometry, or the reason why it has none. Raises OSError if the
    disk is full, HounsfieldError if files have vanished: what was stored stays, and the next run goes on from there.
    """
    records = rows.to_dict("records")
    _log_forecast(records, store, settings, shards)
    with ThreadPoolExecutor(max(1, workers)) as pool:
        done = pool.map(lambda row: _store_volume(row, store, settings), records)
        results = list(progress(done, len(records), "volumes"))
    gone = [result for result in results if result.get("reason") in GONE]
    if gone:
        first = f"{gone[0]['volume']}: {gone[0]['detail']}"
        raise HounsfieldError(
            f"{len(gone)} volumes that the manifest found cannot be read now ({first}); run the same command once they"
            " can, or with --forcerun manifest to do without them"
        )
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
    key = volume_key(row, store, settings)
    facts = _stored_facts(store, key)
    if facts is None:
        try:
            volume = read_volume(row["path"], **reading_settings(row))
        except VolumeError as error:
            log.warning("%s", error)
            return {"volume": row["volume"], "reason": error.reason, "detail": error.detail}
        facts = _facts(volume) | {"preprocessing": settings.canonical()}
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


def _log_forecast(
    records: list[dict[str, Any]], store: VolumeStore, settings: PreprocessingSettings, shards: int
) -> None:
    missing = [row["path"] for row in records if volume_key(row, store, settings) not in store]
    expected = forecast(missing, store, settings)
    log.info("%s; the whole run has %d shards of about this size", expected, shards)
    if not expected.fits:
        log.warning("the disk of %s has too little room: what fits is kept, and the next run goes on", store.root)


def volume_key(row: dict[str, Any], store: VolumeStore, settings: PreprocessingSettings) -> str:
    """Where the volume of a row of shards/*.tsv lies in the store."""
    return store.key(row["identity"], reading_settings(row), settings.canonical())
