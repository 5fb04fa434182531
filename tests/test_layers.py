"""Imports run one way: what lies below knows nothing of what lies above, and nothing of Snakemake."""

import ast
from pathlib import Path

import pytest

LIBRARY = Path(__file__).parents[1] / "scripts" / "hounsfield"
# Each package, and those of the library that it may import; modules beside the packages are for all.
ALLOWED = {
    "volumes": set(),
    "phantoms": set(),
    "cohort": {"volumes"},
    "models": set(),
    "training": {"models", "volumes", "evaluation"},
    "evaluation": set(),
    "baselines": {"models", "training", "volumes"},
    "inference": {"cohort", "training", "volumes"},
    "explain": {"phantoms", "training", "volumes"},
    "report": {"baselines", "cohort", "evaluation", "explain"},
    "overview": {"report", "volumes"},
    "starting": {"cohort", "volumes"},
    "monitoring": set(),
    "tuning": {"report", "training"},
    "planning": {"cohort", "models", "training", "volumes"},
    "exports": {"evaluation", "models", "training", "volumes"},
}


def packages():
    return sorted(path.name for path in LIBRARY.iterdir() if (path / "__init__.py").is_file())


def imported(path):
    """Modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_package_has_its_place():
    assert set(packages()) - {"cli"} == set(ALLOWED)


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_a_package_imports_what_lies_below(package):
    known = set(packages())
    for path in (LIBRARY / package).rglob("*.py"):
        below = {name.split(".")[1] for name in imported(path) if name.startswith("hounsfield.")} & known
        assert below - {package} <= ALLOWED[package], path.name


def test_nobody_below_knows_the_commands_or_snakemake():
    for path in LIBRARY.rglob("*.py"):
        names = set(imported(path))
        assert not any(name.split(".")[0] == "snakemake" for name in names), path
        outside = path.parent.name != "cli" and path.name != "__main__.py"
        assert not (outside and any(name.startswith("hounsfield.cli") for name in names)), path
