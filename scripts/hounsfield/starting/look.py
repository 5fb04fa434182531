"""A first look at a folder and its tables: what names the volumes, what is a finding, who is the patient."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from hounsfield.cohort.files import volume_paths
from hounsfield.cohort.sources import hint, read_whole_table, volume_name
from hounsfield.errors import TableError
from hounsfield.starting.names import NamedFiles, name_column, patient_pattern
from hounsfield.starting.roles import (
    label_columns,
    label_words,
    measure_columns,
    patient_column,
    scan_column,
    split_column,
    subgroup_columns,
)


@dataclass(frozen=True)
class UserTable:
    """A table as text, and which of its columns names the volumes."""

    path: str
    rows: pd.DataFrame
    named: NamedFiles | None


@dataclass(frozen=True)
class FirstLook:
    """What was found; each column is one of `rows`.

    folder: of the volumes; files: their paths below it. labels, metadata: paths of tables; unused: path -> why not.
    column, path: cohort.volume_column and cohort.path. found: the column's value -> file. rows: all tables joined, a
    row a value. findings: label column -> present, absent, unknown. patient, scan: a column, or None; pattern: of the
    volumes' names, if no column tells the patient. split: column, and what its values mean.
    """

    folder: str
    files: Sequence[str]
    labels: Sequence[str]
    metadata: Sequence[str]
    unused: Mapping[str, str]
    column: str
    path: str | None
    found: Mapping[str, str]
    rows: pd.DataFrame
    findings: Mapping[str, tuple[int, int, int]]
    words: Mapping[str, str | int]
    patient: str | None
    pattern: str | None
    scan: str | None
    split: tuple[str, Mapping[str, str | list[str]]] | None
    measures: Mapping[str, str]
    subgroups: Mapping[str, str]

    @property
    def patients(self) -> pd.Series:
        """The patient of each volume that has a file."""
        rows = self.rows[self.rows[self.column].isin(self.found.keys())]
        if self.patient is not None:
            return rows[self.patient]
        names = rows[self.column].map(volume_name)
        return names.map(lambda name: match["patient"] if (match := re.fullmatch(self.pattern or "", name)) else name)

    @property
    def without_file(self) -> list[str]:
        """Values of the table that lead to no file."""
        return [value for value in self.rows[self.column].unique() if value not in self.found]

    @property
    def without_row(self) -> list[str]:
        """Files that no row names."""
        named = set(self.found.values())
        return [path for path in self.files if path not in named]


def look(folder: str, paths: Sequence[str]) -> FirstLook:
    """Look through `folder` and the tables. Raises TableError if there is no volume, matching column or finding."""
    if not Path(folder).is_dir():
        raise TableError(f"{folder}: is not a folder; give the folder of the volumes first, then the tables")
    files = [os.path.relpath(path, folder) for path in volume_paths(folder)]
    if not files:
        raise TableError(f"{folder}: no volume in it; give a folder with NIfTI, DICOM, NRRD, MetaImage or npz")
    tables = []
    for path in paths:
        rows = read_whole_table(path)
        tables.append(UserTable(path, rows, name_column(rows, files)))
    with_findings = [table for table in tables if table.named and _findings(table)]
    if not with_findings:
        raise TableError(_nothing_found(tables, files))
    first = max(with_findings, key=lambda table: (len(table.named.found), len(_findings(table))))  # type: ignore[union-attr]
    return _assembled(folder, files, tables, first)


def _assembled(folder: str, files: Sequence[str], tables: Sequence[UserTable], first: UserTable) -> FirstLook:
    assert first.named is not None
    column = first.named.column
    used = [table for table in tables if column in table.rows]
    unused = {
        table.path: f"no column {column!r}, by which {first.path} names the volumes; rename its own"
        for table in tables
        if column not in table.rows
    }
    rows = _joined(column, [first, *(table for table in used if table is not first)])
    labels = [table.path for table in used if set(_findings(table)) and (table is first or not _same(table, first))]
    patient = patient_column(rows, rows[column])
    findings = label_columns(rows, [column, *_others(rows, column)])
    split = split_column(rows)
    names = rows[column][rows[column].isin(first.named.found.keys())].map(volume_name)
    taken = {column, patient, *(split or ())[:1], *findings}
    return FirstLook(
        folder=folder,
        files=files,
        labels=labels,
        metadata=[table.path for table in used if table.path not in labels],
        unused=unused,
        column=column,
        path=first.named.path,
        found=first.named.found,
        rows=rows,
        findings=findings,
        words=label_words(rows, list(findings)),
        patient=patient,
        pattern=None if patient else patient_pattern(names.tolist()),
        scan=scan_column(rows.drop(columns={column, patient} & set(rows)), rows[column]),
        split=split,
        measures=measure_columns(list(rows.columns)),
        subgroups=subgroup_columns(list(rows.columns), [name for name in taken if name]),
    )


def _findings(table: UserTable) -> dict[str, tuple[int, int, int]]:
    column = table.named.column if table.named else ""
    return label_columns(table.rows, [column, *_others(table.rows, column)])


def _others(rows: pd.DataFrame, column: str) -> list[str]:
    """Columns of two values that are something else: the patient, the split, subgroups."""
    others = [patient_column(rows, rows[column]) if column in rows else None, *(split_column(rows) or ())[:1]]
    return [name for name in others if name] + list(subgroup_columns(list(rows.columns), []).values())


def _same(table: UserTable, first: UserTable) -> bool:
    """Whether the table repeats labels of the first for the same volumes, so that it says nothing new of them."""
    return set(_findings(table)) <= set(_findings(first)) and set(table.rows[first.named.column]) <= set(  # type: ignore[union-attr]
        first.rows[first.named.column]  # type: ignore[union-attr]
    )


def _joined(column: str, tables: Sequence[UserTable]) -> pd.DataFrame:
    """A row a value of `column`, with the first nonempty cell of each column."""
    stacked = pd.concat([table.rows for table in tables], ignore_index=True)
    return stacked.replace("", pd.NA).groupby(column, sort=False, as_index=False).first().fillna("")


def _nothing_found(tables: Sequence[UserTable], files: Sequence[str]) -> str:
    unnamed = [table for table in tables if table.named is None]
    if len(unnamed) == len(tables):
        first = tables[0]
        cells = first.rows.iloc[0].tolist() if len(first.rows) else []
        return (
            f"{first.path}: no column names the files; a file is {files[0]!r}, and the first row "
            f"{', '.join(repr(cell) for cell in cells[:6])}; add a column with the files' names"
        )
    table = next(table for table in tables if table.named)
    return (
        f"{table.path}: no column is a finding (0 and 1, yes and no) with at least one present and one absent"
        f"{hint('', table.rows.columns)}"
    )
