"""Splits of patients: given, or made and stratified over the labels.

What was made stays: a table remembers each patient's part under the rule (seed and shares) that made it. Patients
that are added are divided among themselves, stratified if there are enough; nobody moves. From an empty table, the
same patients, labels, rule and seed always give the same parts.
"""

import hashlib
import logging
import os
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from iterstrat.ml_stratifiers import MultilabelStratifiedKFold, MultilabelStratifiedShuffleSplit

from hounsfield.cohort.labels import written_as
from hounsfield.cohort.settings import SPLITS, CohortSettings, SplitSettings
from hounsfield.cohort.sources import plain_name
from hounsfield.cohort.spelling import aligned
from hounsfield.errors import TableError
from hounsfield.tables import read_table, write_table

log = logging.getLogger(__name__)

# Fewer patients than this, added to a cohort, are dealt by a hash of their names: there is nothing to stratify.
FEW = 20


def add_splits(
    table: pd.DataFrame,
    column: pd.Series | None,
    cohort: CohortSettings,
    split: SplitSettings,
    seed: int,
    memory: str | os.PathLike,
) -> pd.DataFrame:
    """`table` with the split of each volume's patient. column: that of split.column. Raises TableError."""
    patients = table.groupby("patient")[list(cohort.pathologies)].max()
    given = pd.Series([SPLITS] * len(patients), index=patients.index)
    if column is not None:
        values = column[table.index].map(plain_name)
        pairs = pd.DataFrame({"patient": table["patient"], "value": values}).drop_duplicates()
        mixed = pairs[pairs["patient"].duplicated(keep=False)]
        if len(mixed):
            name = mixed["patient"].iloc[0]
            values = " and ".join(sorted(mixed.loc[mixed["patient"] == name, "value"])[:2])
            raise TableError(f"patient {name} is in several splits ({values}); correct {split.column!r}")
        given = given_splits(pairs.set_index("patient")["value"].reindex(patients.index), split)
    parts = split_patients(patients, given, split, seed, memory, cohort.similar_names)
    return table.assign(split=table["patient"].map(parts))


def split_patients(
    patients: pd.DataFrame,
    given: pd.Series,
    settings: SplitSettings,
    seed: int,
    memory: str | os.PathLike,
    similar_names: str = "stop",
) -> pd.Series:
    """Split of each patient: a Series over the index of `patients` (its columns are labels: 1, 0 or nan).

    With `settings.folds`, whoever is not in the test split has the number of a fold, as text, for `splits_of_fold`.
    given: over the same index, a split or a tuple of splits to choose among by fractions. `memory` is the table of
    what was chosen before, and is kept up to date. similar_names: of the cohort block.
    Raises TableError for a memory that is not as it was written.
    """
    earlier = _recall(memory, patients.index, similar_names)
    rule = f"seed {seed}: " + ", ".join(f"{split} {settings.fractions.get(split, 0):g}" for split in SPLITS)
    if earlier and rule not in earlier:
        log.warning("%s: remembers no splits of %s; all patients are divided anew", memory, rule)
    parts = _divide_all(patients, given, settings, seed, earlier.get(rule, {}))
    made = {rule: {name: part for name, part in parts.items() if not isinstance(given[name], str)}}
    if settings.folds is not None:
        rule = f"seed {seed}: {settings.folds} folds"
        pool = patients[(parts != "test").to_numpy()]
        folds = _folds(pool, settings.folds, seed, earlier.get(rule, {}))
        made[rule] = folds.to_dict()
        parts[folds.index] = folds
    _remember(memory, earlier, made)
    return parts


def given_splits(values: pd.Series, settings: SplitSettings) -> pd.Series:
    """What the split column's values mean for each patient (the index). Raises TableError for an unknown value."""
    known = {plain_name(word): value for key, value in settings.values.items() for word in written_as(key)}
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise TableError(
            f"patient {values.index[values == unknown[0]][0]}: {settings.column!r} is {unknown[0]!r}, which "
            "split.values does not name; add it there"
        )
    return values.map(lambda value: known[value] if isinstance(known[value], str) else tuple(known[value]))


def _divide_all(
    patients: pd.DataFrame, given: pd.Series, settings: SplitSettings, seed: int, earlier: Mapping[str, str]
) -> pd.Series:
    parts = given.astype(object).copy()
    for choices in dict.fromkeys(value for value in given if not isinstance(value, str)):
        names = [name for name, value in given.items() if value == choices]
        known = [name for name in names if earlier.get(name) in choices]
        parts[known] = [earlier[name] for name in known]
        moved = [name for name in names if name in earlier and earlier[name] not in choices]
        if moved:
            told = f"{len(moved)} patients, such as {moved[0]}, were in {earlier[moved[0]]}"
            log.warning("%s and are now divided among %s, as split.values says", told, " and ".join(choices))
        new = patients.loc[[name for name in names if earlier.get(name) not in choices]]
        shares = {split: settings.fractions.get(split, 0.0) for split in choices}
        if sum(shares.values()) <= 0:
            raise TableError(f"split.fractions gives nothing to {' or '.join(choices)}, which split.values asks for")
        parts[new.index] = _divide(new, shares, seed, FEW if known else 2 * len(choices))
    return parts


def _divide(patients: pd.DataFrame, shares: Mapping[str, float], seed: int, few: int) -> pd.Series:
    total = sum(shares.values())
    wanted = {split: share / total for split, share in shares.items() if share > 0}
    if len(patients) < few:
        return pd.Series([_by_hash(name, wanted, seed) for name in patients.index], patients.index, dtype=object)
    rest = _shuffled(patients, seed)
    parts = pd.Series(index=patients.index, dtype=object)
    left = 1.0
    for split in list(wanted)[:0:-1]:
        splitter = MultilabelStratifiedShuffleSplit(n_splits=1, test_size=wanted[split] / left, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it calls a private function of scikit-learn by an old name
            _, chosen = next(splitter.split(rest, _strata(rest)))
        parts[rest.index[chosen]] = split
        rest = rest.drop(rest.index[chosen])
        left -= wanted[split]
    parts[rest.index] = next(iter(wanted))
    return parts


def _folds(patients: pd.DataFrame, count: int, seed: int, earlier: Mapping[str, str]) -> pd.Series:
    """Number of each patient's fold, as text."""
    folds = pd.Series([earlier.get(name) for name in patients.index], patients.index, dtype=object)
    new = patients[folds.isna().to_numpy()]
    if len(new) < (max(FEW, 2 * count) if len(new) < len(patients) else 2 * count):
        equal = {str(number): 1 / count for number in range(count)}
        folds[new.index] = [_by_hash(f"fold {name}", equal, seed) for name in new.index]
        return folds
    new = _shuffled(new, seed)
    folder = MultilabelStratifiedKFold(n_splits=count, shuffle=True, random_state=seed)
    for number, (_, chosen) in enumerate(folder.split(new, _strata(new))):
        folds[new.index[chosen]] = str(number)
    return folds


def _shuffled(patients: pd.DataFrame, seed: int) -> pd.DataFrame:
    """In order of a hash, so that neither the table's order nor names' alphabet has a say."""
    return patients.loc[sorted(patients.index, key=lambda name: _unit_hash(name, seed))]


def _strata(patients: pd.DataFrame) -> np.ndarray:
    """Labels, and a column for `none of them`, as 0 or 1."""
    positive = (patients.to_numpy(float) == 1).astype(int)
    return np.column_stack([positive, positive.sum(axis=1) == 0])


def _unit_hash(name: str, seed: int) -> float:
    digest = hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _by_hash(name: str, shares: Mapping[str, float], seed: int) -> str:
    place, reached = _unit_hash(name, seed), 0.0
    for part, share in shares.items():
        reached += share
        if place < reached:
            return part
    return list(shares)[-1]


def _recall(memory: str | os.PathLike, patients: Iterable[str], similar_names: str) -> dict[str, dict[str, str]]:
    """Part of each patient under each rule. People edit this table, so it is checked: nobody may move unseen."""
    if not Path(memory).exists():
        return {}
    try:
        table = read_table(memory, text=["rule", "patient", "part"])
    except TableError as error:
        raise TableError(f"{memory}: does not remember the splits any more ({error}); bring back a copy") from error
    names = [plain_name(name) for name in table["patient"]]
    table = table.assign(patient=aligned(names, patients, similar_names, f"{memory}: the patients"))
    for line, row in enumerate(table.itertuples(), 2):
        if not re.fullmatch(r"seed \d+: .+", row.rule) or not row.patient:
            raise TableError(f"{memory}: line {line} has no rule or no patient; bring back a copy of the table")
        if row.part not in _parts_of(row.rule):
            allowed = ", ".join(_parts_of(row.rule))
            raise TableError(f"{memory}: line {line}: {row.part!r} is no split; write one of {allowed}")
    repeated = table[table.duplicated(["rule", "patient"], keep=False)]
    if len(repeated):
        raise TableError(
            f"{memory}: patient {repeated['patient'].iloc[0]} is in it twice under one rule; remove a line"
        )
    return {rule: dict(zip(rows["patient"], rows["part"], strict=True)) for rule, rows in table.groupby("rule")}


def _parts_of(rule: str) -> Sequence[str]:
    """What a patient may be put into by a rule, such as "seed 0: 5 folds"; the other rules are of splits."""
    folds = re.fullmatch(r"seed \d+: (\d+) folds", rule)
    return [str(number) for number in range(int(folds[1]))] if folds else SPLITS


def _remember(memory: str | os.PathLike, earlier: Mapping[str, Mapping], made: Mapping[str, Mapping]) -> None:
    """Also patients that are gone stay: one who comes back belongs where they were."""
    rules = dict.fromkeys([*earlier, *made])
    merged = {rule: {**earlier.get(rule, {}), **made.get(rule, {})} for rule in rules}
    rows: Sequence = [(rule, name, part) for rule, parts in merged.items() for name, part in sorted(parts.items())]
    write_table(pd.DataFrame(rows, columns=["rule", "patient", "part"]), memory)
