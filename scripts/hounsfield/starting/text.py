"""The first look as a commented configuration, and as lines to read."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from hounsfield.starting.look import FirstLook

SHOWN, MOST_SHOWN = 10, 50


def as_config(look: FirstLook, pathologies: Sequence[str], name: str) -> str:
    """YAML with the reason of each choice beside it; grid and network stand in for what `hounsfield plan` proposes."""
    lines = [
        "# Proposed by `hounsfield init`: look through it, then let `hounsfield plan` propose grid and training.",
        "# config/README.md explains every key.",
        f"name: {_value(name)}",
        "",
        "cohort:",
        f"  volumes: {_value(look.folder)}  # {len(look.files)} volumes",
        f"  labels: {_value(list(look.labels))}",
    ]
    if look.metadata:
        lines.append(f"  metadata: {_value(list(look.metadata))}")
    lines.append(f"  volume_column: {_value(look.column)}  # leads to {len(look.found)} files")
    if look.path is not None:
        lines.append(f"  path: {_value(look.path)}")
    lines += ["  pathologies:  # present, absent, unknown"]
    lines += [f"    - {_value(label)}  # {', '.join(map(str, look.findings[label]))}" for label in pathologies]
    lines += _patients(look)
    if look.words:
        lines.append(f"  uncertain: {_value(dict(look.words))}  # mask: unknown, left out of loss and scores")
    lines += [f"  {key}: {_value(column)}" for key, column in look.measures.items()]
    if look.subgroups:
        lines.append(f"  subgroups: {_value(dict(look.subgroups))}")
    return "\n".join([*lines, "", *_split(look), "", *GRID_AND_MODEL]) + "\n"


GRID_AND_MODEL = (
    "preprocessing:  # a coarse grid that suits a chest; `hounsfield plan` measures your volumes",
    "  spacing: [3, 3, 3]",
    "  shape: [96, 112, 112]",
    "",
    "models:",
    '  resnet18: {architecture: resnet3d, variant: "18"}',
)


def _patients(look: FirstLook) -> list[str]:
    count = f"{look.patients.nunique()} patients, of one up to {look.patients.value_counts().max()} volumes"
    if look.patient is not None:
        lines = ["  volume_pattern: null", f"  patient_column: {_value(look.patient)}  # {count}"]
    else:
        note = f"{count}; no column names the patient: check that this does"
        lines = [f"  volume_pattern: {_value(look.pattern)}  # {note}"]
    return lines + ([f"  scan_column: {_value(look.scan)}"] if look.scan else [])


def _split(look: FirstLook) -> list[str]:
    if look.split is None:
        return ["split:  # patients, dealt out by Hounsfield", "  fractions: {train: 0.7, val: 0.1, test: 0.2}"]
    column, values = look.split
    lines = ["split:", f"  column: {_value(column)}", f"  values: {_value(dict(values))}"]
    if any(isinstance(meant, list) for meant in values.values()):
        lines.append("  fractions: {train: 0.8, val: 0.2, test: 0}  # how the patients of a list are dealt out")
    return lines


def as_lines(look: FirstLook, pathologies: Sequence[str]) -> list[str]:
    """What was found, for the terminal: ten rows with their files, and what has no partner."""
    lines = [f"volumes      {len(look.files)} below {look.folder}"]
    lines.append(
        f"named by     {look.column!r}: {len(look.found)} of {look.rows[look.column].nunique()} lead to a file"
    )
    if look.path is not None:
        lines.append(f"path         {look.path}")
    for label in pathologies:
        present, absent, unknown = look.findings[label]
        lines.append(f"finding      {label!r}: {present} present, {absent} absent, {unknown} unknown")
    told = f"column {look.patient!r}" if look.patient else f"the names, by {look.pattern}"
    lines.append(f"patients     {look.patients.nunique()}, from {told}")
    lines.append(
        f"split        {'by column ' + repr(look.split[0]) if look.split else 'made by Hounsfield, by patient'}"
    )
    lines += [f"column       {key}: {column!r}" for key, column in {**look.measures, **look.subgroups}.items()]
    lines += [f"not used     {path}: {why}" for path, why in look.unused.items()]
    lines += ["", *(f"  {value} -> {path}" for value, path in list(look.found.items())[:SHOWN])]
    lines += _unmatched("rows without a file", look.without_file)
    lines += _unmatched("files without a row", look.without_row)
    return lines


def _unmatched(what: str, names: Sequence[str]) -> list[str]:
    if not names:
        return []
    more = [f"  and {len(names) - MOST_SHOWN} more"] if len(names) > MOST_SHOWN else []
    return [f"{what}: {len(names)}", *(f"  {name}" for name in names[:MOST_SHOWN]), *more]


def run_name(folder: str) -> str:
    """A name for the results, out of the folder's."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(folder).resolve().name).strip("-._")
    return plain.lower() or "mine"


def _value(value: Any) -> str:
    """As YAML on one line, quoted where YAML would take it for something else."""
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**6, sort_keys=False)
    return text.removesuffix("...\n").strip()
