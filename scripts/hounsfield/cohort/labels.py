"""Label and metadata tables, from whoever made them."""

import logging
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from hounsfield.cohort.settings import CohortSettings
from hounsfield.errors import ConfigError, TableError

log = logging.getLogger(__name__)

SUFFIXES = (".nii.gz", ".nii", ".npz", ".nrrd", ".mha")


def read_user_tables(paths: Sequence[str], volume_column: str) -> pd.DataFrame:
    """The rows of all tables (CSV, TSV or Excel) as text, with a first column `volume`: the name without its suffix.

    Raises TableError if a table cannot be read or lacks `volume_column`.
    """
    frames = []
    for path in paths:
        frame = _read(path)
        if volume_column not in frame:
            close = get_close_matches(volume_column, frame.columns, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else f"; it has {', '.join(map(str, frame.columns[:8]))}"
            raise TableError(f"{path}: lacks the column {volume_column!r} (cohort.volume_column){hint}")
        frame.insert(0, "volume", [without_suffix(name) for name in frame[volume_column]])
        frames.append(frame)
    return pd.concat(frames, ignore_index=True).fillna("") if frames else pd.DataFrame({"volume": []}, dtype=str)


def without_suffix(name: str) -> str:
    """A file's name or path as the volume's name: its last part, without the suffix of an image."""
    name = name.strip().replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    suffix = next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(suffix)]


def parse_labels(table: pd.DataFrame, settings: CohortSettings) -> pd.DataFrame:
    """`table` with its pathology columns as 1, 0 or nan (unknown). Raises TableError for any other value."""
    if settings.label_mapping:
        table = map_labels(table, settings.label_mapping, settings.pathologies)
    columns = {}
    for name in settings.pathologies:
        if name not in table:
            close = get_close_matches(name, table.columns, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise TableError(f"{', '.join(settings.labels)}: no column {name!r} (cohort.pathologies){hint}")
        meaning = {value: _meaning(value, settings.uncertain) for value in table[name].unique()}
        unknown = [value for value, meant in meaning.items() if meant is None]
        if unknown:
            volume = table.loc[table[name] == unknown[0], "volume"].iloc[0]
            raise TableError(
                f"{volume}: {name} is {unknown[0]!r}, which is neither 0 nor 1; say in cohort.uncertain what it means"
            )
        columns[name] = table[name].map(meaning).astype(float)
    others = [column for column in table.columns if column not in columns]
    return pd.concat([table[others], pd.DataFrame(columns)], axis=1)


def map_labels(table: pd.DataFrame, path: str, pathologies: Sequence[str]) -> pd.DataFrame:
    """Add a column a pathology: whether any column of the mapping file's names is 1.

    A name that ends in * stands for all columns that begin with what is before it. Raises ConfigError or TableError.
    """
    mapping = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    if not {"name", "version", "labels"} <= set(mapping):
        raise ConfigError(f"{path}: a label mapping has a name, a version and labels")
    log.info("labels mapped by %s, version %s", mapping["name"], mapping["version"])
    added = {}
    for name in pathologies:
        if name not in mapping["labels"]:
            raise ConfigError(f"{path}: {mapping['name']} {mapping['version']} has no label {name!r}")
        sources = [column for pattern in mapping["labels"][name] for column in _matching(pattern, table.columns)]
        if not sources:
            raise TableError(f"{path}: {name}: the table has no column {', '.join(mapping['labels'][name])}")
        positive = table[sources].apply(lambda column: pd.to_numeric(column, errors="coerce")).eq(1).any(axis=1)
        added[name] = np.where(positive, "1", "0")
    return pd.concat([table.drop(columns=list(added), errors="ignore"), pd.DataFrame(added)], axis=1)


def _matching(pattern: str, columns: Sequence[str]) -> list[str]:
    if pattern.endswith("**"):  # the name itself ends in *, as RAD-ChestCT's `nodule*` before the location
        return [column for column in columns if column.startswith(pattern[:-1])]
    if pattern.endswith("*"):
        return [column for column in columns if column.startswith(pattern[:-1])]
    return [pattern] if pattern in columns else []


def _meaning(value: str, uncertain: Mapping[str, str | int]) -> float | None:
    """1, 0, nan for masked, None for a value that nobody explained."""
    text = value.strip()
    try:
        number: float | None = float(text)
    except ValueError:
        number = None
    for key, meant in uncertain.items():
        if text == str(key).strip() or (number is not None and _same_number(str(key), number)):
            return {"mask": np.nan, "error": None}.get(meant) if isinstance(meant, str) else float(meant)
    return number if number in (0.0, 1.0) else None


def _same_number(text: str, number: float) -> bool:
    try:
        return float(text) == number
    except ValueError:
        return False


def _read(path: str) -> pd.DataFrame:
    kind = Path(path).suffix.lower()
    try:
        if kind in (".xlsx", ".xls"):
            return pd.read_excel(path, dtype=str, keep_default_na=False)
        separator = "\t" if kind == ".tsv" else ","
        return pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError, ImportError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise TableError(f"{path}: cannot be read as a table ({error}); save it as UTF-8 CSV") from error
