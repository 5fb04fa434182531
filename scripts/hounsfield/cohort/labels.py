"""Labels: 1, 0 or unknown, from a column each or from a mapping file."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from hounsfield.cohort.settings import CohortSettings
from hounsfield.cohort.sources import hint
from hounsfield.errors import ConfigError, TableError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LabelMapping:
    """Pathologies out of other columns: a pathology is present if any of its sources is.

    separator: a source stands for all columns that hold its name before the separator, such as `nodule*left_upper`
    for `nodule`; None: for the column of just that name. A pathology without sources is unknown everywhere.
    """

    name: str
    version: int
    sources: Mapping[str, tuple[str, ...]]
    separator: str | None = None

    def is_source(self, column: str) -> bool:
        """Whether some pathology is made from `column`."""
        return any(self.stem(column) in names for names in self.sources.values())

    def stem(self, column: str) -> str:
        """The name of `column` that sources are compared with, in full."""
        return column if self.separator is None else column.split(self.separator, 1)[0]


def read_mapping(path: str) -> LabelMapping:
    """Read a mapping file: name, version, labels, and perhaps separator. Raises ConfigError."""
    try:
        block = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(
            f"config: cohort.label_mapping: {path} cannot be read ({' '.join(str(error).split())})"
        ) from error
    known = {"name", "version", "labels", "separator"}
    if not isinstance(block, dict) or not {"name", "version", "labels"} <= set(block) <= known:
        raise ConfigError(f"config: cohort.label_mapping: {path} must have a name, a version and labels")
    sources = block["labels"]
    if not isinstance(sources, dict) or not all(isinstance(names, list) for names in sources.values()):
        raise ConfigError(f"config: cohort.label_mapping: {path}: labels must give each pathology a list of columns")
    named = {label: tuple(map(str, names)) for label, names in sources.items()}
    return LabelMapping(str(block["name"]), block["version"], named, block.get("separator"))


def parse_labels(table: pd.DataFrame, settings: CohortSettings, mapping: LabelMapping | None = None) -> pd.DataFrame:
    """`table` (text) with its pathology columns as 1.0, 0.0 or nan (unknown), and without a mapping's sources.

    Raises TableError for a value that is neither 0, 1 nor in `settings.uncertain`, ConfigError for a pathology that
    the mapping lacks.
    """
    if mapping is None:
        made = {name: _numbers(table, name, settings) for name in settings.pathologies}
        used = set(settings.pathologies)
    else:
        log.info("labels are mapped by %s, version %s", mapping.name, mapping.version)
        made = {name: _mapped(table, name, mapping, settings) for name in settings.pathologies}
        used = {column for column in table if mapping.is_source(column)} | set(settings.pathologies)
    rest = table[[column for column in table.columns if column not in used]]
    return pd.concat([rest, pd.DataFrame(made, index=table.index, dtype=float)], axis=1)


def _mapped(table: pd.DataFrame, name: str, mapping: LabelMapping, settings: CohortSettings) -> np.ndarray:
    if name not in mapping.sources:
        raise ConfigError(
            f"config: cohort.pathologies: {mapping.name} {mapping.version} has no {name!r}{hint(name, mapping.sources)}"
        )
    present = np.zeros(len(table), dtype=bool)
    unknown = np.full(len(table), not mapping.sources[name])
    for source in mapping.sources[name]:
        columns = [column for column in table.columns if mapping.stem(column) == source]
        if not columns:
            raise TableError(
                f"{', '.join(settings.labels)}: {mapping.name} {mapping.version} makes {name!r} from {source!r}, "
                "which the table does not have; correct the mapping file"
            )
        for column in columns:
            values = _numbers(table, column, settings)
            present |= values == 1
            unknown |= np.isnan(values)
    return np.where(present, 1.0, np.where(unknown, np.nan, 0.0))


def _numbers(table: pd.DataFrame, column: str, settings: CohortSettings) -> np.ndarray:
    meanings = _meanings(table[column].unique(), settings.uncertain)
    unknown = [value for value, meaning in meanings.items() if meaning is None]
    if unknown:
        hit = table[column] == unknown[0]
        more = f" (and {int(hit.sum()) - 1} more)" if hit.sum() > 1 else ""
        raise TableError(
            f"{table.loc[hit, 'volume'].iloc[0]}{more}: {column} is {unknown[0]!r}, which is neither 0 nor 1; say in "
            "cohort.uncertain what it means"
        )
    return table[column].map(meanings).to_numpy(float)


def _meanings(values: Iterable[str], uncertain: Mapping[str, str | int]) -> dict[str, float | None]:
    """1, 0, nan for masked, None for a value that nobody explained."""
    own = {_canonical(name): meaning for key, meaning in uncertain.items() for name in written_as(key)}
    spelled = {"mask": np.nan, "error": None}
    result: dict[str, float | None] = {}
    for value in values:
        text = _canonical(value)
        if text in own:
            meaning = own[text]
            result[value] = spelled[meaning] if meaning in spelled else float(meaning)
        else:
            result[value] = {0.0: 0.0, 1.0: 1.0}.get(text) if isinstance(text, float) else None
    return result


# YAML makes one value of several words, and a configuration does not keep which of them was written.
YAML_WORDS = {"true": ("true", "yes", "on", "y"), "false": ("false", "no", "off", "n"), "null": ("null", "~")}


def written_as(key: object) -> tuple[str, ...]:
    """The words in a table that a key of `uncertain`, or of `split.values`, may stand for."""
    text = {True: "true", False: "false", None: "null"}[key] if key is None or isinstance(key, bool) else str(key)
    return YAML_WORDS.get(text, (text,))


def _canonical(text: str) -> float | str:
    """A number where `text` is one, so that -1, -1.0 and " -1" are the same value; else the text in lower case."""
    try:
        number = float(text)
    except ValueError:
        return text.strip().lower()
    return number if np.isfinite(number) else text.strip().lower()
