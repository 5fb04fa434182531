"""Conda, container and package agree on what they install."""

import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def pins(lines):
    return {line.split("#")[0].strip() for line in lines} - {""}


def lock(name):
    return {Requirement(pin) for pin in pins((ROOT / name).read_text().splitlines()) if not pin.startswith("--")}


def test_the_conda_environment_has_the_pins_of_the_requirements():
    environment = yaml.safe_load((ROOT / "envs/hounsfield.yaml").read_text())
    listed = next(part["pip"] for part in environment["dependencies"] if isinstance(part, dict))
    assert set(map(Requirement, listed)) == lock("requirements.txt")


@pytest.mark.parametrize(
    ("ranges", "locked"),
    [
        (lambda project: project["project"]["dependencies"], "requirements.txt"),
        (lambda project: project["dependency-groups"]["dev"], "requirements-dev.txt"),
    ],
    ids=["library", "dev"],
)
def test_each_locked_version_lies_in_its_range(ranges, locked):
    known = {requirement.name: requirement.specifier for requirement in map(Requirement, ranges(PROJECT))}
    versions = {requirement.name: next(iter(requirement.specifier)).version for requirement in lock(locked)}
    assert known.keys() == versions.keys()
    assert [name for name, version in versions.items() if version not in known[name]] == []


def test_the_library_needs_no_test_runner():
    names = {Requirement(text).name for text in PROJECT["project"]["dependencies"]}
    assert names.isdisjoint({"pytest", "hypothesis", "ruff", "snakefmt", "mypy"})


def test_the_container_installs_the_requirements_and_the_library():
    text = (ROOT / "envs/Containerfile").read_text()
    assert "--requirement /tmp/requirements.txt" in text
    for line in text.splitlines():
        if line.startswith("COPY"):
            assert all((ROOT / name).exists() for name in line.split()[1:-1]), line


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_package_has_its_reason(name):
    for line in (ROOT / name).read_text().splitlines():
        assert line.startswith("#") or "#" in line, line
