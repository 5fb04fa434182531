"""The manifest: every volume that has a file and labels, with its patient, scan, split and shard."""

import hashlib
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from hounsfield.cohort.checks import check_patients, check_positives, check_share
from hounsfield.cohort.dataset import splits_of_fold
from hounsfield.cohort.facts import FACTS, header_facts, with_points
from hounsfield.cohort.matching import (
    Unmatched,
    add_groups,
    add_patients,
    add_stamps,
    drop_contradicting,
    drop_listed,
    drop_repeated,
    drop_unlabelled,
    drop_unmeasured,
    match_files,
)
from hounsfield.cohort.rows import check_columns, join_metadata, read_labels
from hounsfield.cohort.settings import CohortSettings, SplitSettings
from hounsfield.cohort.splits import add_splits
from hounsfield.errors import ConfigError, TableError
from hounsfield.tables import write_table
from hounsfield.user_tables import digest

log = logging.getLogger(__name__)

NAMES = ["volume", "path", "scan", "patient", "split", "shard", "stamp"]
SHARD_COLUMNS = ["volume", "path", "stamp", "hu", *FACTS]


@dataclass(frozen=True)
class Manifest:
    """volumes: a row a volume. unmatched: volume, reason, detail. metadata: volume and the subgroup columns.

    hu: the policy by which the volumes are to be read.
    """

    volumes: pd.DataFrame
    unmatched: pd.DataFrame
    metadata: pd.DataFrame
    hu: str = "auto"


def build_manifest(cohort: CohortSettings, split: SplitSettings, seed: int, memory: str | os.PathLike) -> Manifest:
    """Match tables with files, and split the patients.

    memory: the table that remembers the patients' splits, unless `split.file` names one.
    Raises TableError or ConfigError for what the settings say to stop at, before a voxel is read.
    """
    unmatched, before = Unmatched(), _digests(cohort)
    # A row a volume: its labels, and what the tables and its name tell of it.
    table = read_labels(cohort, split)
    table = drop_listed(table, cohort, unmatched)
    table = drop_repeated(table, cohort, unmatched)
    table = drop_unlabelled(table, cohort, unmatched)
    table = join_metadata(table, cohort, split, unmatched)
    table = add_groups(table, cohort).reset_index(drop=True)
    check_columns(table, cohort, split)
    # Its file.
    table = match_files(table, cohort, unmatched)
    table = add_stamps(table, unmatched)
    # What the tables call by the names of our own columns is kept apart before these take their place.
    subgroups = {name: with_points(table[column]) for name, column in cohort.subgroups.items()}
    metadata = pd.DataFrame({"volume": table["volume"], **subgroups})
    given = table[split.column] if split.column is not None else None
    facts = header_facts(table, cohort)
    table = add_patients(table, cohort).drop(columns=list(FACTS), errors="ignore").join(facts)
    table = drop_unmeasured(table, cohort, unmatched)
    table = drop_contradicting(table, cohort, unmatched)
    # Its split and its shard.
    table = add_splits(table, given, cohort, split, seed, split.file or memory)
    table = table.assign(shard=shards_of(table["patient"], cohort.shards)).sort_values("volume")
    lost = unmatched.table()
    check_manifest(table, lost, cohort, split)
    _check_unedited(before)
    log.info("%d volumes of %d patients; %d left out", len(table), table["patient"].nunique(), len(lost))
    volumes = table[[*NAMES, *FACTS, *cohort.pathologies]].astype(dict.fromkeys(cohort.pathologies, "Int64"))
    metadata = metadata.loc[table.index].reset_index(drop=True)
    return Manifest(volumes.reset_index(drop=True), lost, metadata, cohort.hu)


def check_manifest(table: pd.DataFrame, lost: pd.DataFrame, cohort: CohortSettings, split: SplitSettings) -> None:
    """Raise TableError for what must not go on to the GPUs."""
    check_patients(table)
    check_share(lost, len(table), cohort)
    for fold in split.validation_folds():
        splits = table.assign(split=splits_of_fold(table["split"], fold))
        check_positives(splits, cohort.pathologies, split.require_positives, fold)


def write_shards(manifest: Manifest, folder: str | os.PathLike, count: int) -> None:
    """Write `count` tables of volumes to read; one that did not change keeps its time, so its shard does not rerun.

    Raises ConfigError if the manifest was made for more shards.
    """
    if len(manifest.volumes) and int(manifest.volumes["shard"].max()) >= count:
        raise ConfigError(f"config: cohort.shards: the manifest has more than {count} shards; make it anew")
    rows = manifest.volumes.assign(hu=manifest.hu)
    for number in range(count):
        part = rows.loc[rows["shard"] == f"{number:02d}", SHARD_COLUMNS]
        write_if_changed(part, Path(folder) / f"{number:02d}.tsv")


def write_if_changed(part: pd.DataFrame, path: str | os.PathLike) -> None:
    """Write a shard's table, unless the file is the same already."""
    fresh = part.to_csv(sep="\t", index=False, na_rep="", lineterminator="\n").encode()
    if not Path(path).exists() or Path(path).read_bytes() != fresh:
        write_table(part, path)


def shards_of(names: Iterable[str], count: int) -> list[str]:
    """The shard of each name, by a stable hash."""
    digests = (hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names)
    return [f"{int.from_bytes(digest, 'big') % count:02d}" for digest in digests]


def _digests(cohort: CohortSettings) -> dict[str, str]:
    """Digest of each table of the user; its reader says why another cannot be read."""
    mapping = [cohort.label_mapping] if cohort.label_mapping else []
    paths = [*cohort.labels, *cohort.metadata, *cohort.exclude, *mapping]
    return {path: digest(path) for path in paths if os.path.isfile(path)}


def _check_unedited(read: Mapping[str, str]) -> None:
    """Raise TableError if a table is another now: the next run would take what was made of it for new."""
    for path, before in read.items():
        if digest(path) != before:
            raise TableError(f"{path}: was edited while it was read; run the same command again")
