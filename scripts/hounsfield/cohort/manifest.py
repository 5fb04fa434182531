"""The manifest: every volume that has a file and labels, with its patient, scan, split and shard."""

import hashlib
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from hounsfield.cohort.checks import check_patients, check_positives, check_share
from hounsfield.cohort.dataset import splits_of_fold
from hounsfield.cohort.facts import FACTS, header_facts
from hounsfield.cohort.files import stamps
from hounsfield.cohort.labels import parse_labels, read_mapping
from hounsfield.cohort.matching import (
    Unmatched,
    add_groups,
    add_patients,
    drop_contradicting,
    drop_listed,
    drop_repeated,
    drop_unlabelled,
    drop_unmeasured,
    match_files,
)
from hounsfield.cohort.settings import SPLITS, CohortSettings, SplitSettings
from hounsfield.cohort.sources import read_user_tables
from hounsfield.cohort.spelling import aligned
from hounsfield.cohort.splits import given_splits, split_patients
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
    unmatched, tables = Unmatched(), _user_tables(cohort)
    read = {path: digest(path) for path in tables if os.path.isfile(path)}  # its reader says why another is not
    table = _read_labels(cohort, split)
    for step in (drop_listed, drop_repeated, drop_unlabelled):
        table = step(table, cohort, unmatched)
    table = _with_metadata(table, cohort, split, unmatched)
    table = add_groups(table, cohort).reset_index(drop=True)
    _check_columns(table, cohort, split)
    table = match_files(table, cohort, unmatched)
    table = _with_stamps(table, unmatched)
    subgroups = {name: table[column] for name, column in cohort.subgroups.items()}
    given = table[split.column] if split.column is not None else None
    facts = header_facts(table, cohort)
    table = add_patients(table, cohort).drop(columns=list(FACTS), errors="ignore").join(facts)
    for step in (drop_unmeasured, drop_contradicting):
        table = step(table, cohort, unmatched)
    table = table.assign(split=_splits(table, given, cohort, split, seed, split.file or memory))
    table = table.assign(shard=shards_of(table["patient"], cohort.shards)).sort_values("volume")
    check_patients(table)
    lost = unmatched.table()
    check_share(lost, len(table), cohort)
    for fold in split.validation_folds():
        splits = table.assign(split=splits_of_fold(table["split"], fold))
        check_positives(splits, cohort.pathologies, split.require_positives, fold)
    log.info("%d volumes of %d patients; %d left out", len(table), table["patient"].nunique(), len(lost))
    _check_unedited(read)
    metadata = pd.DataFrame({"volume": table["volume"], **{name: of[table.index] for name, of in subgroups.items()}})
    volumes = table[[*NAMES, *FACTS, *cohort.pathologies]].astype(dict.fromkeys(cohort.pathologies, "Int64"))
    return Manifest(volumes.reset_index(drop=True), lost, metadata.reset_index(drop=True), cohort.hu)


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


def _user_tables(cohort: CohortSettings) -> list[str]:
    mapping = [cohort.label_mapping] if cohort.label_mapping else []
    return [*cohort.labels, *cohort.metadata, *cohort.exclude, *mapping]


def _check_unedited(read: Mapping[str, str]) -> None:
    """Raise TableError if a table is another now: the next run would take what was made of it for new."""
    for path, before in read.items():
        if digest(path) != before:
            raise TableError(f"{path}: was edited while it was read; run the same command again")


def _read_labels(cohort: CohortSettings, split: SplitSettings) -> pd.DataFrame:
    mentioned = _mentioned(cohort, split)
    if cohort.label_mapping is None:
        wanted, required, mapping = mentioned, cohort.pathologies, None
    else:
        mapping = read_mapping(cohort.label_mapping)
        wanted, required = (lambda column: mapping.is_source(column) or mentioned(column)), ()
    table = read_user_tables(cohort.labels, cohort.volume_column, wanted, required)
    if table.empty:
        raise TableError(f"{', '.join(cohort.labels)}: no rows; give tables with a row a volume (cohort.labels)")
    return parse_labels(table, cohort, mapping)


def _mentioned(cohort: CohortSettings, split: SplitSettings) -> Callable[[str], bool]:
    """A test of whether the settings mention a column: the tables' others need no memory."""
    columns = {cohort.patient_column, cohort.scan_column, split.column, *cohort.subgroups.values()}
    columns |= {cohort.slope_column, cohort.intercept_column, cohort.z_spacing_column, cohort.xy_spacing_column}
    columns |= set(cohort.template_fields())
    return columns.__contains__


def _with_metadata(
    table: pd.DataFrame, cohort: CohortSettings, split: SplitSettings, unmatched: Unmatched
) -> pd.DataFrame:
    """`table` with the metadata tables' columns. A volume with two values of one column is left out."""
    metadata = read_user_tables(cohort.metadata, cohort.volume_column, _mentioned(cohort, split))
    own = set(table.columns) - {"volume"}
    what = f"{', '.join(cohort.metadata)}: the volumes"
    names = aligned(metadata["volume"], table["volume"], cohort.similar_names, what)
    metadata = metadata.assign(volume=pd.Series(names, metadata.index, dtype=str))
    metadata = metadata[metadata["volume"].isin(table["volume"])].drop(columns=own & set(metadata), errors="ignore")
    metadata = metadata.drop_duplicates()
    repeated = metadata["volume"].duplicated(keep=False)
    if repeated.any():  # perhaps tables of different columns, such as the scanner's and the patient's
        groups = metadata[repeated].where(metadata[repeated] != "").groupby("volume")
        kinds = groups.nunique().max(axis=1)
        names = kinds.index[kinds > 1]
        detail = "the metadata tables hold different values for it"
        unmatched.add(names, "metadata_conflict", detail)
        table = table[~table["volume"].isin(names)]
        metadata = pd.concat([metadata[~repeated], groups.first().reset_index()], ignore_index=True)
    joined = table.merge(metadata, on="volume", how="left", validate="one_to_one")
    others = [column for column in joined.columns if column not in cohort.pathologies]
    return joined.assign(**{column: joined[column].fillna("") for column in others})


def _check_columns(table: pd.DataFrame, cohort: CohortSettings, split: SplitSettings) -> None:
    usual = CohortSettings.__dataclass_fields__
    asked: dict[str, str | None] = {f"cohort.subgroups.{name}": column for name, column in cohort.subgroups.items()}
    asked |= {"cohort.patient_column": cohort.patient_column, "cohort.scan_column": cohort.scan_column}
    asked |= {"split.column": split.column}
    for key in ("slope_column", "intercept_column", "z_spacing_column", "xy_spacing_column"):
        if getattr(cohort, key) != usual[key].default:
            asked[f"cohort.{key}"] = getattr(cohort, key)
    for key, column in asked.items():
        if column is not None and column not in table:
            raise ConfigError(
                f"config: {key}: no label or metadata table has a column (or the pattern a group) {column!r}"
            )


def _with_stamps(table: pd.DataFrame, unmatched: Unmatched) -> pd.DataFrame:
    found = stamps(table["path"].tolist())
    good = [isinstance(entry, str) for entry in found]
    for volume, entry in zip(table["volume"], found, strict=True):
        if not isinstance(entry, str):
            unmatched.add([volume], entry.reason, entry.detail)
    return table.assign(stamp=found)[good]


def _splits(
    table: pd.DataFrame,
    column: pd.Series | None,
    cohort: CohortSettings,
    split: SplitSettings,
    seed: int,
    memory: str | os.PathLike,
) -> pd.Series:
    patients = table.groupby("patient")[list(cohort.pathologies)].max()
    given = pd.Series([SPLITS] * len(patients), index=patients.index)
    if column is not None:
        pairs = pd.DataFrame({"patient": table["patient"], "value": column[table.index].str.strip()}).drop_duplicates()
        mixed = pairs[pairs["patient"].duplicated(keep=False)]
        if len(mixed):
            name = mixed["patient"].iloc[0]
            values = " and ".join(sorted(mixed.loc[mixed["patient"] == name, "value"])[:2])
            raise TableError(f"patient {name} is in several splits ({values}); correct {split.column!r}")
        given = given_splits(pairs.set_index("patient")["value"].reindex(patients.index), split)
    return table["patient"].map(split_patients(patients, given, split, seed, memory, cohort.similar_names))
