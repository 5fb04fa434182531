"""Conda and container install what requirements.txt pins."""

from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]


def pins(lines):
    return {line.split("#")[0].strip() for line in lines} - {""}


def test_the_conda_environment_has_the_pins_of_the_requirements():
    users, developers = (ROOT / "requirements.txt").read_text().split("# for development and tests")
    environment = yaml.safe_load((ROOT / "envs/hounsfield.yaml").read_text())
    listed = next(part["pip"] for part in environment["dependencies"] if isinstance(part, dict))
    assert set(listed) == pins(users.splitlines())
    assert pins(developers.splitlines())


def test_the_container_installs_the_requirements_and_the_library():
    text = (ROOT / "envs/Containerfile").read_text()
    assert "--requirement /tmp/requirements.txt" in text
    for line in text.splitlines():
        if line.startswith("COPY"):
            assert all((ROOT / name).exists() for name in line.split()[1:-1]), line


def test_every_package_has_its_reason():
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        assert line.startswith("#") or "#" in line, line
