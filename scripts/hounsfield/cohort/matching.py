"""Rows of the tables and files, matched; whatever finds no partner is named with the reason."""

import logging
import os
import posixpath
import re
from collections.abc import Iterable

import pandas as pd

from hounsfield.cohort.files import filled, find_files, stamps, template_paths
from hounsfield.cohort.settings import SPACING, CohortSettings
from hounsfield.cohort.sources import SHORTENED, SUFFIXES, plain_name, volume_name
from hounsfield.cohort.spelling import aligned, unified
from hounsfield.errors import ConfigError, TableError
from hounsfield.patience import at_most
from hounsfield.user_tables import read_lines

log = logging.getLogger(__name__)

PATTERN_SECONDS = 60  # for all names: 50,000 take a tenth of one


class Unmatched:
    """The volumes that were left out so far, each with a reason and a sentence."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, str]] = []

    def add(self, volumes: Iterable[str], reason: str, detail: str) -> None:
        """Note that `volumes` are left out."""
        self.rows += [(volume, reason, detail) for volume in volumes]

    def table(self) -> pd.DataFrame:
        """volume, reason, detail, in the order of volumes."""
        frame = pd.DataFrame(self.rows, columns=["volume", "reason", "detail"], dtype=object)
        return frame.drop_duplicates().sort_values(["volume", "reason"], ignore_index=True)


def drop_listed(table: pd.DataFrame, cohort: CohortSettings, unmatched: Unmatched) -> pd.DataFrame:
    """`table` without the volumes that the text files of cohort.exclude name. Raises ConfigError."""
    for path in cohort.exclude:
        try:
            lines = read_lines(path)
        except TableError as error:
            raise ConfigError(f"config: cohort.exclude: {error}") from error
        named = [volume_name(line) for line in lines if line.strip()]
        names = set(aligned(named, table["volume"], cohort.similar_names, f"{path}: the volumes"))
        hit = table["volume"].isin(names)
        lost = sorted(names - set(table["volume"]))
        for name in lost:
            log.warning("%s: no label table has the volume %r that it names", path, name)
        unmatched.add(lost, "listed", f"named in {path}, and in no label table")
        unmatched.add(table.loc[hit, "volume"].unique(), "listed", f"named in {path}")
        table = table[~hit]
    return table


def drop_repeated(table: pd.DataFrame, cohort: CohortSettings, unmatched: Unmatched) -> pd.DataFrame:
    """`table` with a row a volume: equal rows become one, volumes with contradicting rows are left out."""
    repeated = table[table["volume"].duplicated(keep=False)]
    if repeated.empty:
        return table
    folders = repeated["named"].map(posixpath.dirname).groupby(repeated["volume"]).unique()
    homonyms = folders.index[folders.map(len) > 1]
    if len(homonyms):
        first, second = (posixpath.join(folder, homonyms[0]) for folder in folders[homonyms[0]][:2])
        raise TableError(
            f"{first} and {second} are two volumes of one name; give another cohort.volume_column, and cohort.path"
        )
    kinds = repeated.groupby("volume")[list(cohort.pathologies)].nunique(dropna=False).max(axis=1)
    names, same = kinds.index[kinds > 1], kinds.index[kinds == 1]
    if len(names):
        stop_if(cohort.label_conflicts, "label_conflicts", names, "has label rows that contradict one another")
        unmatched.add(names, "label_conflict", "its label rows contradict one another")
    if len(same):
        stop_if(cohort.duplicate_rows, "duplicate_rows", same, "is in the label tables more than once")
        unmatched.add(
            same, "duplicate_rows", "is in the label tables more than once, with equal labels; one row counts"
        )
        log.warning("%d volumes are in the label tables more than once, with equal labels", len(same))
    return table[~table["volume"].isin(names)].drop_duplicates("volume")


def drop_unlabelled(table: pd.DataFrame, cohort: CohortSettings, unmatched: Unmatched) -> pd.DataFrame:
    """`table` without the volumes all of whose labels are unknown: nothing can be learned or scored on them."""
    blank = table[list(cohort.pathologies)].isna().all(axis=1)
    if blank.any():
        names = table.loc[blank, "volume"]
        stop_if(cohort.missing_labels, "missing_labels", names, "has no known label")
        unmatched.add(names, "no_labels", "all of its labels are unknown")
    return table[~blank]


def match_files(table: pd.DataFrame, cohort: CohortSettings, unmatched: Unmatched) -> pd.DataFrame:
    """`table` with the path of each volume, without those that have no file, or several of their name."""
    by_name = cohort.path is None
    table = _with_named_files(table, cohort, unmatched) if by_name else _with_template_files(table, cohort)
    if table.empty:
        raise TableError(
            f"{', '.join(cohort.labels)}: none of their volumes is left to look for in {cohort.volumes}"
            f"{_reasons(unmatched)}"
        )
    missing = table["path"].isna()
    if missing.any():
        names = table.loc[missing, "volume"]
        stop_if(cohort.missing_volumes, "missing_volumes", names, f"has labels and no file in {cohort.volumes}")
        unmatched.add(names, "no_volume", f"has no file in {cohort.volumes}")
    if missing.all():
        raise TableError(
            f"{cohort.volumes}: has none of the {len(table)} volumes that the label tables name, such as "
            f"{table['named'].iloc[0]}; {_why(table, cohort)}"
        )
    return table[~missing]


def _with_template_files(table: pd.DataFrame, cohort: CohortSettings) -> pd.DataFrame:
    for name in cohort.template_fields():
        if name not in table:
            raise ConfigError(f"config: cohort.path: {cohort.path!r}: no column or group is named {name!r}")
    return table.assign(path=template_paths(cohort.path or "", cohort.volumes, table, cohort.similar_names))


def _with_named_files(table: pd.DataFrame, cohort: CohortSettings, unmatched: Unmatched) -> pd.DataFrame:
    """`table` with the paths of the files by the volumes' names, without those whose name is that of several."""
    files = find_files(cohort.volumes)
    found: dict[str, list[str]] = {}
    meant = aligned(files, table["volume"], cohort.similar_names, "the volumes of files and tables,")
    for name, paths in zip(meant, files.values(), strict=True):
        found.setdefault(name, []).extend(paths)
    several = table["volume"].map(lambda name: len(found.get(name, ())) > 1).astype(bool)
    for name in table.loc[several, "volume"]:
        shown = " and ".join(os.path.relpath(path, cohort.volumes) for path in found[name][:2])
        unmatched.add([name], "several_files", f"several files have its name, such as {shown}; give cohort.path")
    without = found.keys() - set(table["volume"]) - {volume for volume, _, _ in unmatched.rows}
    if without:
        stop_if(cohort.missing_labels, "missing_labels", sorted(without), "has a file and no labels")
        unmatched.add(sorted(without), "no_labels", "the label tables do not name it")
    table = table[~several]
    return table.assign(path=[found[name][0] if name in found else None for name in table["volume"]])


def add_stamps(table: pd.DataFrame, unmatched: Unmatched) -> pd.DataFrame:
    """`table` with what tells whether each volume's files changed, without those that cannot be read."""
    found = stamps(table["path"].tolist())
    for volume, entry in zip(table["volume"], found, strict=True):
        if not isinstance(entry, str):
            unmatched.add([volume], entry.reason, entry.detail)
    return table.assign(stamp=found)[[isinstance(entry, str) for entry in found]]


def add_groups(table: pd.DataFrame, cohort: CohortSettings) -> pd.DataFrame:
    """`table` with a column a named group of cohort.volume_pattern, empty where it does not match the volume's name.

    Raises TableError for a name that does not match, if the patient comes from it.
    """
    groups = cohort.pattern_groups()
    if not groups:
        return table
    pattern, name = re.compile(cohort.volume_pattern or ""), ""
    matches = []
    try:
        with at_most(PATTERN_SECONDS):
            for name in table["volume"]:
                matches.append(pattern.fullmatch(name))
    except TimeoutError as error:
        raise ConfigError(
            f"config: cohort.volume_pattern: {cohort.volume_pattern!r} takes for ever at {name!r}; "
            "take out repeats within repeats, such as (a+)+"
        ) from error
    lost = [name for name, match in zip(table["volume"], matches, strict=True) if match is None]
    if lost and cohort.patient_column is None:
        raise TableError(
            f"{lost[0]}: does not match cohort.volume_pattern {cohort.volume_pattern!r} ({len(lost)} such volumes); "
            "change it, or give patient_column and scan_column"
        )
    columns = {name: [match.group(name) or "" if match else "" for match in matches] for name in groups}
    return table.assign(**columns)


def add_patients(table: pd.DataFrame, cohort: CohortSettings) -> pd.DataFrame:
    """`table` with columns `patient` and `scan`, which names the patient too. Raises TableError if one has none."""
    source = cohort.patient_column or "patient"
    patients = unified(table[source].map(plain_name), cohort.similar_names, "the patients")
    bad = (patients == "") | patients.map(lambda name: SHORTENED.fullmatch(name) is not None)
    if bad.any():
        volume, shown = table.loc[bad, "volume"].iloc[0], patients[bad].iloc[0]
        what = f"a spreadsheet shortened its patient to {shown!r}" if shown else "has no patient"
        raise TableError(f"{volume}: {what}; complete {source!r}, or name it in a list of cohort.exclude")
    column = cohort.scan_column or ("scan" if "scan" in cohort.pattern_groups() else "volume")
    scans = table[column].map(plain_name).where(lambda names: names != "", table["volume"])
    # A scan's name may be one of each patient's own, such as "a".
    whole = [scan == name or scan.startswith(f"{name}_") for name, scan in zip(patients, scans, strict=True)]
    if column != "volume":
        scans = unified(scans.where(whole, patients + "/" + scans), cohort.similar_names, "the scans")
    return table.assign(patient=patients, scan=scans)


def drop_contradicting(table: pd.DataFrame, cohort: CohortSettings, unmatched: Unmatched) -> pd.DataFrame:
    """`table` without the scans whose reconstructions have different labels."""
    kinds = table.groupby("scan")[list(cohort.pathologies)].nunique().max(axis=1)
    scans = kinds.index[kinds > 1]
    if not len(scans):
        return table
    stop_if(cohort.label_conflicts, "label_conflicts", scans, "has reconstructions with different labels")
    hit = table["scan"].isin(scans)
    unmatched.add(table.loc[hit, "volume"], "label_conflict", "the reconstructions of its scan have different labels")
    return table[~hit]


def drop_unmeasured(table: pd.DataFrame, cohort: CohortSettings, unmatched: Unmatched) -> pd.DataFrame:
    """`table` without the volumes that lack a spacing, where cohort.hu says that only the tables tell of volumes.

    The headers of such volumes hold an identity affine, which would be taken for voxels of 1 mm.
    """
    spacing = table[list(SPACING)]
    lacking = spacing.isna().any(axis=1)
    if cohort.hu != "table" or lacking.all():
        return table
    unmatched.add(
        table.loc[lacking, "volume"], "no_spacing", "the tables give no spacing for it, and cohort.hu is table"
    )
    return table[~lacking]


def stop_if(policy: str, key: str, names: Iterable[str], what: str) -> None:
    """Raise TableError about `names` if `policy`, the value of the key of the cohort block, is stop."""
    if policy == "stop":
        names = list(names)
        more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
        raise TableError(f"{names[0]}{more}: {what}; correct the tables, or set cohort.{key} to exclude")


def _why(table: pd.DataFrame, cohort: CohortSettings) -> str:
    """What is there instead of the volumes, and what to correct."""
    found = find_files(cohort.volumes)
    if cohort.path is not None and found:
        led, there = filled(cohort.path, table.iloc[0]), os.path.relpath(min(found.values())[0], cohort.volumes)
        return f"cohort.path leads to {led} for it, and a file there is {there}; correct cohort.path or cohort.volumes"
    if not found:
        return f"it holds no file that is a volume ({', '.join(SUFFIXES)}, or a folder of slices); correct it"
    name, (path, *_) = min(found.items())
    return (
        f"the file {os.path.basename(path)} is named {name!r} and the row {table['volume'].iloc[0]!r}; "
        "correct cohort.volumes or cohort.volume_column, or give cohort.path"
    )


def _reasons(unmatched: Unmatched) -> str:
    groups = unmatched.table().groupby("reason", sort=False)
    listed = ", ".join(f"{len(rows)} for {reason} ({rows['detail'].iloc[0]})" for reason, rows in groups)
    return f": left out are {listed}" if listed else ""
