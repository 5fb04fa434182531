"""The proposal as a configuration to lay over the user's, as a page for the terminal, and as JSON."""

import textwrap
from collections.abc import Mapping
from typing import Any

import yaml

from hounsfield.planning.facts import CohortFacts
from hounsfield.planning.machine import Machine
from hounsfield.planning.propose import Proposal
from hounsfield.planning.rules import Choice

WIDTH = 120
AXES = ("z", "y", "x")


def as_config(choices: Mapping[tuple[str, ...], Choice]) -> dict[str, Any]:
    """The values as nested blocks."""
    config: dict[str, Any] = {}
    for (*parents, last), choice in choices.items():
        block = config
        for key in parents:
            block = block.setdefault(key, {})
        block[last] = choice.value
    return config


def as_yaml(proposal: Proposal, heading: str) -> str:
    """The values as YAML, the reason for each in a comment above it, after a `heading`."""
    lines = [f"# {line}" for line in heading.splitlines()]
    return "\n".join([*lines, *_yaml_lines(as_tree(proposal.choices), "")]) + "\n"


def as_tree(choices: Mapping[tuple[str, ...], Choice]) -> dict[str, Any]:
    """The choices themselves as nested blocks."""
    return as_config({path: Choice(choice, "") for path, choice in choices.items()})


def as_text(facts: CohortFacts, machine: Machine, proposal: Proposal) -> str:
    """The page: what was seen, what is proposed and why, what it will take."""
    rows = [(".".join(path), _flow(choice.value), choice.reason) for path, choice in proposal.choices.items()]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    table = [_row(row, widths) for row in rows]
    return "\n\n".join(
        "\n".join(lines) for lines in (_seen(facts, machine), table, _takes(proposal), proposal.warnings) if lines
    )


def as_json(facts: CohortFacts, machine: Machine, proposal: Proposal) -> dict[str, Any]:
    """All of it as plain values."""
    return {
        "cohort": {"volumes": facts.volumes, "positives": facts.positives, "sampled": len(facts.spacings)},
        "machine": vars(machine),
        "settings": as_config(proposal.choices),
        "reasons": {".".join(path): choice.reason for path, choice in proposal.choices.items()},
        "gigabytes": proposal.gigabytes,
        "preprocessing_hours": proposal.preprocessing_hours,
        "training_hours": proposal.training_hours,
        "warnings": list(proposal.warnings),
    }


def _yaml_lines(tree: Mapping[str, Any], indent: str) -> list[str]:
    lines = []
    for key, value in tree.items():
        if isinstance(value, Choice):
            lines += [f"{indent}# {value.reason}", f"{indent}{_flow(key)}: {_flow(value.value)}"]
        else:
            lines += [f"{indent}{_flow(key)}:", *_yaml_lines(value, indent + "  ")]
    return lines


def _flow(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=float("inf"))
    return text.removesuffix("...\n").strip()


def _row(row: tuple[str, str, str], widths: list[int]) -> str:
    start = f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  "
    return textwrap.fill(row[2], max(WIDTH, len(start) + 40), initial_indent=start, subsequent_indent=" " * len(start))


def _seen(facts: CohortFacts, machine: Machine) -> list[str]:
    counts = ", ".join(f"{facts.volumes.get(split, 0)} {split}" for split in ("train", "val", "test"))
    rarest = min(facts.positives, key=facts.positives.__getitem__)
    lines = [f"cohort    {counts} volumes; rarest label {rarest}: {facts.positives[rarest]} positive training scans"]
    for what, table in (("spacing", facts.spacings), ("scan", facts.extents), ("body", facts.needed)):
        ranges = [_range(column, axis) for column, axis in zip(table.T, AXES, strict=True)]
        lines.append(f"{what:<9} {', '.join(ranges)} mm")
    sampled = f"{len(facts.spacings)} training volumes read, {len(facts.refused)} refused"
    return [*lines, f"sample    {sampled}", f"machine   {machine}"]


def _range(column: Any, axis: str) -> str:
    ordered = sorted(column)
    return f"{axis} {ordered[len(ordered) // 2]:.3g} ({ordered[0]:.3g} to {ordered[-1]:.3g})"


def _takes(proposal: Proposal) -> list[str]:
    each = ", ".join(f"{name} {hours:.2f}" for name, hours in proposal.training_hours.items())
    return [
        f"store           {proposal.gigabytes:.2f} GB",
        f"preprocessing   {proposal.preprocessing_hours:.2f} hours",
        f"training        {sum(proposal.training_hours.values()):.2f} hours of all epochs ({each})",
    ]
