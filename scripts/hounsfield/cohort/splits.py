"""Splits of patients: given, or made and stratified over the labels."""

import hashlib
import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from iterstrat.ml_stratifiers import MultilabelStratifiedKFold, MultilabelStratifiedShuffleSplit

from hounsfield.cohort.settings import SPLITS, SplitSettings
from hounsfield.errors import TableError
from hounsfield.tables import read_table, write_table

# Fewer new patients than this are dealt by a hash of their names: there is nothing to stratify.
FEW = 20


def split_patients(
    patients: pd.DataFrame, given: pd.Series, settings: SplitSettings, seed: int, memory: str | os.PathLike
) -> pd.Series:
    """Split of each patient: a Series over the index of `patients` (its columns are labels: 1, 0 or nan).

    given: a split, a list of splits to choose among by fractions, or nan, over the same index. `memory` is a table of
    earlier choices under the same settings and seed, kept up to date: patients that are added move nobody.
    """
    splits = pd.Series(index=patients.index, dtype=object)
    fixed = given.map(lambda value: isinstance(value, str))
    splits[fixed] = given[fixed]
    earlier = _recall(memory, settings, seed)
    for choices in {tuple(value) for value in given[~fixed]}:
        group = patients[~fixed & given.map(lambda value, c=choices: not isinstance(value, str) and tuple(value) == c)]
        known = group.index[[earlier.get(name) in choices for name in group.index]]
        splits[known] = [earlier[name] for name in known]
        new = group.drop(known)
        fractions = {split: settings.fractions.get(split, 0.0) for split in choices}
        splits[new.index] = _divide(new, fractions, seed)
    _remember(splits, memory, settings, seed)
    return _with_folds(patients, splits, settings, seed)


def given_splits(values: pd.Series, settings: SplitSettings) -> pd.Series:
    """What the split column's values mean for each patient (the index). Raises TableError for an unknown value."""
    known = {str(key): value for key, value in settings.values.items()}
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise TableError(
            f"split.column {settings.column!r} holds {unknown[0]!r}, which split.values does not name; add it there"
        )
    return values.map(lambda value: known[value] if isinstance(known[value], str) else tuple(known[value]))


def _divide(patients: pd.DataFrame, fractions: Mapping[str, float], seed: int) -> pd.Series:
    total = sum(fractions.values())
    wanted = {split: fraction / total for split, fraction in fractions.items() if fraction > 0}
    if len(patients) < FEW:
        return pd.Series([_by_hash(name, wanted, seed) for name in patients.index], patients.index, dtype=object)
    # In order of a hash, so that neither the table's order nor names' alphabet has a say.
    order = sorted(patients.index, key=lambda name: _unit_hash(name, seed))
    rest = patients.loc[order]
    splits = pd.Series(index=patients.index, dtype=object)
    left = 1.0
    for split in list(wanted)[:0:-1]:
        chosen = _stratified_share(rest, wanted[split] / left, seed)
        splits[rest.index[chosen]] = split
        rest = rest.drop(rest.index[chosen])
        left -= wanted[split]
    splits[rest.index] = next(iter(wanted))
    return splits


def _stratified_share(patients: pd.DataFrame, share: float, seed: int) -> np.ndarray:
    splitter = MultilabelStratifiedShuffleSplit(n_splits=1, test_size=share, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, chosen = next(splitter.split(patients, _strata(patients)))
    return chosen


def _with_folds(patients: pd.DataFrame, splits: pd.Series, settings: SplitSettings, seed: int) -> pd.Series:
    if settings.folds is None:
        return splits
    pool = splits.index[splits != "test"]
    order = sorted(pool, key=lambda name: _unit_hash(name, seed))
    folder = MultilabelStratifiedKFold(n_splits=settings.folds, shuffle=True, random_state=seed)
    parts = list(folder.split(order, _strata(patients.loc[order])))
    result = splits.copy()
    result[pool] = "train"
    result[[order[index] for index in parts[settings.fold][1]]] = "val"
    return result


def _strata(patients: pd.DataFrame) -> np.ndarray:
    """Labels, and a column for `none of them`, as 0 or 1."""
    positive = (patients.to_numpy(float) == 1).astype(int)
    return np.column_stack([positive, positive.sum(axis=1) == 0])


def _unit_hash(name: str, seed: int) -> float:
    digest = hashlib.blake2b(f"{seed}:{name}".encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _by_hash(name: str, fractions: Mapping[str, float], seed: int) -> str:
    place, reached = _unit_hash(name, seed), 0.0
    for split, fraction in fractions.items():
        reached += fraction
        if place < reached:
            return split
    return next(reversed(fractions))


def _digest(settings: SplitSettings, seed: int) -> str:
    parts = {"fractions": dict(settings.fractions), "seed": seed}
    return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=8).hexdigest()


def _recall(memory: str | os.PathLike, settings: SplitSettings, seed: int) -> dict[str, str]:
    if not Path(memory).exists():
        return {}
    table = read_table(memory, text=["patient", "split", "settings"])
    table = table[table["settings"] == _digest(settings, seed)]
    return dict(zip(table["patient"], table["split"], strict=True))


def _remember(splits: pd.Series, memory: str | os.PathLike, settings: SplitSettings, seed: int) -> None:
    assert set(splits) <= set(SPLITS)
    table = pd.DataFrame({"patient": splits.index, "split": splits.to_numpy(), "settings": _digest(settings, seed)})
    write_table(table, memory)
