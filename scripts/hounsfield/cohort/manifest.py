"""The manifest: every volume that has a file and labels, with its patient, scan, split and shard."""

import ast
import hashlib
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from hounsfield.cohort.files import fill_template, find_files, identities
from hounsfield.cohort.labels import parse_labels, read_user_tables, without_suffix
from hounsfield.cohort.settings import SPLITS, CohortSettings, SplitSettings
from hounsfield.cohort.splits import given_splits, split_patients
from hounsfield.errors import ConfigError, TableError
from hounsfield.tables import write_table

log = logging.getLogger(__name__)

SPACING = ["spacing_z", "spacing_y", "spacing_x"]
FACTS = ["slope", "intercept", *SPACING]
SHARD_COLUMNS = ["volume", "path", "identity", "hu", *FACTS]


@dataclass(frozen=True)
class Manifest:
    """volumes: a row a volume. unmatched: volume, reason, detail. metadata: volume and the subgroup columns."""

    volumes: pd.DataFrame
    unmatched: pd.DataFrame
    metadata: pd.DataFrame


def build_manifest(cohort: CohortSettings, split: SplitSettings, seed: int, cache_path: str | os.PathLike) -> Manifest:
    """Match tables with files. Raises TableError or ConfigError for what the settings say to stop at."""
    unmatched: list[dict[str, str]] = []
    labels = parse_labels(read_user_tables(cohort.labels, cohort.volume_column), cohort)
    labels = _without_excluded(labels, cohort, unmatched)
    labels = _without_duplicates(labels, cohort, unmatched)
    labels = _with_paths(labels, cohort, unmatched)
    if labels.empty:
        raise TableError(
            f"{cohort.volumes}: none of the tables' volumes is there; check cohort.volumes and cohort.path"
        )
    metadata = read_user_tables(cohort.metadata, cohort.volume_column).drop_duplicates("volume")
    table = labels.merge(metadata, on="volume", how="left", suffixes=("", " (metadata)"))
    table = _with_patients(table, cohort)
    table = _without_conflicts(table, cohort, unmatched)
    table = pd.concat([table, _header_facts(table, cohort)], axis=1)
    table["split"] = _splits(table, cohort, split, seed, Path(cache_path).with_name("splits.tsv"))
    table["shard"] = [_shard(patient, cohort.shards) for patient in table["patient"]]
    table["identity"] = identities(table["path"].tolist(), cohort.volumes, cache_path)
    table["hu"] = cohort.hu
    columns = ["volume", "path", "scan", "patient", "split", "shard", "identity", "hu", *FACTS, *cohort.pathologies]
    volumes = table[columns].sort_values("volume", ignore_index=True)
    log.info("%d volumes of %d patients; %d unmatched", len(volumes), volumes["patient"].nunique(), len(unmatched))
    subgroups = _subgroups(table, cohort).sort_values("volume", ignore_index=True)
    return Manifest(volumes, pd.DataFrame(unmatched, columns=["volume", "reason", "detail"]), subgroups)


def write_shards(manifest: Manifest, folder: str | os.PathLike, count: int) -> None:
    """Write `count` tables of volumes to read; one that did not change keeps its time, so its shard does not rerun."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        path = Path(folder) / f"{number:02d}.tsv"
        rows = manifest.volumes.loc[manifest.volumes["shard"] == f"{number:02d}", SHARD_COLUMNS]
        fresh = rows.to_csv(sep="\t", index=False, na_rep="", lineterminator="\n")
        if not path.exists() or path.read_text(encoding="utf-8") != fresh:
            write_table(rows, path)


def _without_excluded(labels: pd.DataFrame, cohort: CohortSettings, unmatched: list) -> pd.DataFrame:
    for path in cohort.exclude:
        try:
            names = {without_suffix(line) for line in Path(path).read_text(encoding="utf-8-sig").splitlines() if line}
        except OSError as error:
            raise ConfigError(f"config: cohort.exclude: {path} cannot be read ({error.strerror})") from error
        hit = labels["volume"].isin(names)
        unmatched += _entries(labels.loc[hit, "volume"], "listed", f"named in {path}")
        labels = labels[~hit]
    return labels


def _without_duplicates(labels: pd.DataFrame, cohort: CohortSettings, unmatched: list) -> pd.DataFrame:
    repeated = labels["volume"].duplicated(keep=False)
    if not repeated.any():
        return labels
    kinds = labels[repeated].groupby("volume")[list(cohort.pathologies)].nunique(dropna=False).max(axis=1)
    names = kinds.index[kinds > 1]
    if len(names):
        _stop_or_exclude(cohort.label_conflicts, "label_conflicts", names, "has rows with different labels")
        unmatched += _entries(names, "label_conflict", "the label tables hold rows with different labels")
    same = kinds.index[kinds == 1]
    if len(same):
        _stop_or_exclude(cohort.duplicate_rows, "duplicate_rows", same, "is in the label tables more than once")
        log.warning(
            "%d volumes are in the label tables more than once, with equal labels; the first row counts", len(same)
        )
    return labels[~labels["volume"].isin(names)].drop_duplicates("volume")


def _with_paths(labels: pd.DataFrame, cohort: CohortSettings, unmatched: list) -> pd.DataFrame:
    if cohort.path is None:
        found, several = find_files(cohort.volumes)
        both = labels["volume"].isin(several)
        unmatched += _entries(
            labels.loc[both, "volume"], "several_files", "several files have this name; set cohort.path"
        )
        labels = labels[~both]
        paths = [found.get(name) for name in labels["volume"]]
        without = sorted(set(found) - set(labels["volume"]) - several - {entry["volume"] for entry in unmatched})
        if without:
            _stop_or_exclude(cohort.missing_labels, "missing_labels", without, "has a file and no labels")
            unmatched += _entries(without, "no_labels", "the label tables do not name it")
    else:
        rows = _pattern_groups(labels, cohort, required=False)
        filled = [fill_template(cohort.path, cohort.volumes, row) for row in rows]
        paths = [path if os.path.exists(path) else None for path in filled]
    labels = labels.assign(path=paths)
    missing = labels["path"].isna()
    if missing.any():
        names = labels.loc[missing, "volume"]
        _stop_or_exclude(cohort.missing_volumes, "missing_volumes", names, "has labels and no file")
        unmatched += _entries(names, "no_volume", f"no file below {cohort.volumes}")
    return labels[~missing].reset_index(drop=True)


def _pattern_groups(table: pd.DataFrame, cohort: CohortSettings, required: bool = True) -> list[dict[str, str]]:
    """Each row's columns, and the named groups of `volume_pattern` in its volume's name."""
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.itertuples(index=False)]
    if cohort.volume_pattern is None:
        return rows
    try:
        pattern = re.compile(cohort.volume_pattern)
    except re.error as error:
        raise ConfigError(f"config: cohort.volume_pattern: {error}") from error
    for row in rows:
        match = pattern.fullmatch(row["volume"])
        if match is None and required:
            raise TableError(
                f"{row['volume']}: does not match cohort.volume_pattern {cohort.volume_pattern!r}; "
                "change it, or give patient_column and scan_column"
            )
        row |= match.groupdict() if match else {}
    return rows


def _with_patients(table: pd.DataFrame, cohort: CohortSettings) -> pd.DataFrame:
    for column in (cohort.patient_column, cohort.scan_column):
        if column is not None and column not in table:
            raise ConfigError(f"config: cohort: no label or metadata table has the column {column!r}")
    groups = pd.DataFrame(_pattern_groups(table, cohort, required=cohort.patient_column is None), index=table.index)
    patient = cohort.patient_column or "patient"
    scan = cohort.scan_column or ("scan" if "scan" in groups else "volume")
    if patient not in groups:
        raise ConfigError("config: cohort.volume_pattern: has no group named patient")
    new = groups.drop(columns=list(table.columns), errors="ignore")
    table = pd.concat([table, new.drop(columns=["patient", "scan"], errors="ignore")], axis=1)
    # A scan's name may be one of each patient's own, such as "a".
    patients = groups[patient].astype(str)
    own = cohort.scan_column is not None
    scans = patients + "/" + groups[scan].astype(str) if own else groups[scan].astype(str)
    table = table.assign(patient=patients, scan=scans)
    blank = table["patient"].isin(["", "nan"])
    if blank.any():
        raise TableError(f"{table.loc[blank, 'volume'].iloc[0]}: has no patient; complete {patient!r}")
    return table


def _without_conflicts(table: pd.DataFrame, cohort: CohortSettings, unmatched: list) -> pd.DataFrame:
    kinds = table.groupby("scan")[list(cohort.pathologies)].nunique().max(axis=1)
    scans = kinds.index[kinds > 1]
    if not len(scans):
        return table
    _stop_or_exclude(cohort.label_conflicts, "label_conflicts", scans, "has reconstructions with different labels")
    hit = table["scan"].isin(scans)
    detail = "the reconstructions of its scan have different labels"
    unmatched += _entries(table.loc[hit, "volume"], "label_conflict", detail)
    return table[~hit].reset_index(drop=True)


def _header_facts(table: pd.DataFrame, cohort: CohortSettings) -> pd.DataFrame:
    """Slope, intercept and spacing that the tables claim; empty where they do not."""
    blank = pd.Series("", index=table.index)
    numbers = {
        "slope": pd.to_numeric(table.get(cohort.slope_column, blank), errors="coerce"),
        "intercept": pd.to_numeric(table.get(cohort.intercept_column, blank), errors="coerce"),
        "spacing_z": pd.to_numeric(table.get(cohort.z_spacing_column, blank), errors="coerce"),
    }
    pairs = [_pair(text) for text in table.get(cohort.xy_spacing_column, blank)]
    # DICOM's PixelSpacing gives the row spacing (y) first.
    numbers |= {"spacing_y": [pair[0] for pair in pairs], "spacing_x": [pair[1] for pair in pairs]}
    return pd.DataFrame(numbers, index=table.index, dtype=float)


def _pair(text: object) -> tuple[float, float]:
    try:
        value = ast.literal_eval(str(text))
        first, second = value if isinstance(value, (list, tuple)) else (value, value)
        return float(first), float(second)
    except (ValueError, SyntaxError, TypeError):
        return float("nan"), float("nan")


def _splits(table: pd.DataFrame, cohort: CohortSettings, split: SplitSettings, seed: int, memory: Path) -> pd.Series:
    patients = table.groupby("patient")[list(cohort.pathologies)].max()
    given = pd.Series([SPLITS] * len(patients), index=patients.index)
    if split.column is not None:
        if split.column not in table:
            raise ConfigError(f"config: split.column: no table has the column {split.column!r}")
        values = table.groupby("patient")[split.column].unique()
        mixed = values.index[values.map(len) > 1]
        if len(mixed):
            found = ", ".join(map(str, values[mixed[0]]))
            raise TableError(f"patient {mixed[0]} is in several splits ({found}); mend {split.column!r}")
        given = given_splits(values.map(lambda found: str(found[0])), split)
    return table["patient"].map(split_patients(patients, given, split, seed, memory))


def _subgroups(table: pd.DataFrame, cohort: CohortSettings) -> pd.DataFrame:
    absent = [column for column in cohort.subgroups.values() if column not in table]
    if absent:
        raise ConfigError(f"config: cohort.subgroups: no table has the column {absent[0]!r}")
    return pd.DataFrame({"volume": table["volume"], **{name: table[of] for name, of in cohort.subgroups.items()}})


def _shard(patient: str, count: int) -> str:
    digest = hashlib.blake2b(patient.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return f"{int.from_bytes(digest, 'big') % count:02d}"


def _stop_or_exclude(policy: str, key: str, names, what: str) -> None:
    if policy == "stop":
        more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
        raise TableError(f"{next(iter(names))} {what}{more}; mend the table, or set cohort.{key} to exclude")


def _entries(names, reason: str, detail: str) -> list[dict[str, str]]:
    return [{"volume": name, "reason": reason, "detail": detail} for name in names]
