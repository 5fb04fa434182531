"""Which column of a table names the volumes, and how a value leads to a file."""

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from hounsfield.cohort.sources import SUFFIXES, volume_name

# What separates the parts of names such as sub-01_ses-2_ct or train_12_a_1.
SEPARATORS = re.compile(r"[-_. ]+")


@dataclass(frozen=True)
class NamedFiles:
    """How a table's column names files.

    column: of the table. path: template below the folder, as cohort.path takes it; None where the file's own name is
    the value. found: the column's value -> path below the folder.
    """

    column: str
    path: str | None
    found: Mapping[str, str]


def name_column(table: pd.DataFrame, files: Sequence[str]) -> NamedFiles | None:
    """The column of `table` (text) whose values lead to the most of `files` (paths below the folder), or None.

    A value is a file's name (folders and suffix do not count), or a part of a path that is otherwise the same for all,
    such as `{volume}/ct/{volume}_ct`.
    """
    index = _PathIndex(files)
    candidates = [found for column in table for found in index.candidates(column, table[column])]
    # Of equals, the file's own name is the plainest, and then the shorter template.
    key = lambda named: (-len(named.found), named.path is not None, len(named.path or ""))  # noqa: E731
    return min(candidates, key=key, default=None)


class _PathIndex:
    """Files by their names, and by every part of their paths that a table may use to name them."""

    def __init__(self, files: Sequence[str]) -> None:
        names = [volume_name(path) for path in files]
        count = Counter(names)
        self.by_name = {name: path for name, path in zip(names, files, strict=True) if count[name] == 1}
        self.by_part: dict[str, list[str]] = {}
        for path in files:
            for part in set(_parts(without_suffix(path))):
                self.by_part.setdefault(part, []).append(path)

    def candidates(self, column: str, cells: pd.Series) -> list[NamedFiles]:
        values = [value for value in cells.unique() if value.strip()]
        direct = {value: self.by_name[name] for value in values if (name := volume_name(value)) in self.by_name}
        found = [NamedFiles(column, None, direct)] if direct else []
        templates: dict[str, dict[str, str]] = {}
        for value in values:
            for path in self.by_part.get(volume_name(value), []):
                template = template_of(without_suffix(path), volume_name(value))
                if template is not None:
                    templates.setdefault(template, {})[value] = path
        return found + [NamedFiles(column, path, values) for path, values in templates.items() if len(values) > 1]


def template_of(path: str, value: str) -> str | None:
    """`path` with `{volume}` for each `value` between separators; None if that would not lead back to it."""
    if "{" in path or "}" in path:
        return None
    template = re.sub(rf"(?<![A-Za-z0-9]){re.escape(value)}(?![A-Za-z0-9])", "{volume}", path)
    return template if "{volume}" in template and template.replace("{volume}", value) == path else None


def without_suffix(path: str) -> str:
    """A volume's path without the suffix of an image."""
    suffix = next((suffix for suffix in SUFFIXES if path.lower().endswith(suffix)), "")
    return path[: len(path) - len(suffix)]


def _parts(path: str) -> list[str]:
    """Each folder and the name, and what each begins with up to a separator."""
    parts = []
    for part in path.split(os.sep):
        parts.append(part)
        parts += [part[: match.start()] for match in SEPARATORS.finditer(part) if match.start()]
    return parts


def patient_pattern(names: Sequence[str]) -> str:
    """A regular expression of the volumes' names with a group `patient`: as many of their first parts as tell people.

    The first number of parts that gives more than one name for every twenty volumes; the whole name where no fewer do.
    Too few parts put several people into one, which costs data; too many put one person into two splits, which costs
    the result: the pattern is a proposal, to be looked at.
    """
    for count in range(1, 8):
        pattern = rf"(?P<patient>{'[-_. ]+'.join([PART] * count)})(?:[-_. ].*)?"
        matches = [re.fullmatch(pattern, name) for name in names]
        if not all(matches):
            break
        patients = {match["patient"] for match in matches if match}
        if len(patients) == len(set(names)):
            break
        if len(patients) > max(1, len(names) / MOST_VOLUMES):
            return pattern
    return "(?P<patient>.+)"


PART = "[^-_. ]+"
MOST_VOLUMES = 20
