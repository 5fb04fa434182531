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
from hounsfield.volumes.sources import check_unchanged, look_at
from hounsfield.volumes.store import VolumeStore
from hounsfield.volumes.volume import VolumeError

log = logging.getLogger(__name__)

AXES = ("z", "y", "x")
COLUMNS = ["volume", "key", "digest", "hu_source", "reason", "detail"]
COLUMNS += [f"shape_{axis}" for axis in AXES] + [f"spacing_{axis}" for axis in AXES]
# Not the file's fault: a folder that is no longer mounted must not end as a cohort without volumes.
GONE = ("missing", "unreadable", "changed")
# Columns of shards/*.tsv that are no numbers, whatever they look like.
SHARD_TEXT = ("volume", "path", "stamp", "hu")


def preprocess_shard(
    rows: pd.DataFrame, store: VolumeStore, settings: PreprocessingSettings, workers: int, shards: int = 1
) -> pd.DataFrame:
    """Store each volume of `rows` (columns of shards/*.tsv) that is not yet there, whole by its header and size.

    The log first says what that will take, for this one of the run's `shards`. Voxels are verified when they are
    read. Returns a row a volume: its key and source geometry, or the reason why it has none. Raises OSError if the
    disk is full, HounsfieldError if files have vanished: what was stored stays, and the next run goes on from there.
    """
    records = rows.to_dict("records")
    if store.is_of_earlier_version():
        told = "its volumes are not used, as they were known by less than their content; hounsfield store prune"
        log.warning("%s: the store was written by an earlier version: %s removes them", store.root, told)
    _log_forecast(records, store, settings, shards)
    with ThreadPoolExecutor(max(1, workers)) as pool:
        done = pool.map(lambda row: store_volume(row, store, settings), records)
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


def store_volume(row: dict[str, Any], store: VolumeStore, settings: PreprocessingSettings) -> dict[str, Any]:
    """Store the volume of a row of shards/*.tsv unless its content is there; what COLUMNS tells of it.

    A file that is written to meanwhile is refused (`changed`). Raises OSError if the store cannot be written.
    """
    key: str | None
    facts: dict[str, Any] | None
    try:
        key, facts = _stored(row, store, settings)
    except VolumeError as error:
        key = known_key(row, store, settings)  # of a source that was put away since
        facts = None if key is None or error.reason not in GONE else _stored_facts(store, key)
        if facts is None:
            log.warning("%s", error)
            return {"volume": row["volume"], "reason": error.reason, "detail": error.detail}
    return {"volume": row["volume"], "key": key} | {name: facts[name] for name in COLUMNS if name in facts}


def _stored(row: dict[str, Any], store: VolumeStore, settings: PreprocessingSettings) -> tuple[str, dict[str, Any]]:
    """Key and header facts of a row's volume, which is stored now if it was not. Raises VolumeError or OSError."""
    source = look_at(row["path"])
    if source.stamp != row["stamp"]:
        log.warning("%s: changed since it was listed; what it holds now is taken", row["path"])
    key = store.key(store.sources.digest(source), reading_settings(row), settings.canonical())
    facts = _stored_facts(store, key)
    if facts is None:
        volume = read_volume(row["path"], **reading_settings(row))
        check_unchanged(source)
        facts = _facts(volume) | {"preprocessing": settings.canonical()}
        facts["digest"] = store.write(key, resample(volume, settings), facts)
    return key, facts


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
    missing = [row["path"] for row in records if known_key(row, store, settings) is None]
    expected = forecast(missing, store, settings)
    log.info("%s; the whole run has %d shards of about this size", expected, shards)
    if not expected.fits:
        log.warning("the disk of %s has too little room: what fits is kept, and the next run goes on", store.root)


def known_key(row: dict[str, Any], store: VolumeStore, settings: PreprocessingSettings) -> str | None:
    """The key of a row of shards/*.tsv whose volume is stored as it was listed; its files are not looked at."""
    content = store.sources.known(row["path"], row["stamp"])
    key = None if content is None else store.key(content, reading_settings(row), settings.canonical())
    return key if key is not None and key in store else None
