"""Whole runs of the real workflow, in a copy of the project, so that tests may edit its code."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from hounsfield.locks import locked

ROOT = Path(__file__).parents[2]
SECRET = "5ec2e7" * 7  # as long as a key of W&B
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "WANDB_SILENT": "true", "WANDB_API_KEY": SECRET}

HANGS_AFTER_S = 1800  # many times what any run here takes

# Results that hold no times and no names of folders.
TABLES = ("cohort/dataset.tsv", "cohort/summary.tsv", "cohort/excluded.tsv")
TABLES += ("predictions/*/seed0/*.tsv", "metrics/*/seed0/*.tsv", "comparison/pairs.tsv", "comparison/models.tsv")


class Project:
    """A copy of workflow/, scripts/ and envs/, and a configuration."""

    executor = ("--cores", "2")

    def __init__(self, folder, config):
        self.folder = folder
        self.config = config
        for name in ("workflow", "scripts", "envs"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))

    def command(self, *arguments):
        (self.folder / "config.yaml").write_text(yaml.safe_dump(self.config, sort_keys=False))
        return [sys.executable, "-m", "snakemake", "--configfile", "config.yaml", *self.executor, *map(str, arguments)]

    def run(self, *arguments, check=True):
        """Run to the end; standard output and error together."""
        command = self.command(*arguments)
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        done = subprocess.run(command, cwd=self.folder, env=ENVIRONMENT, timeout=HANGS_AFTER_S, **streams)
        assert not check or done.returncode == 0, done.stdout[-4000:]
        return done.stdout

    def start(self, *arguments):
        """Start in a process group of its own, as a terminal does."""
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=ENVIRONMENT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def would_run(self, *arguments):
        """Messages of the jobs that a dry run plans."""
        return set(re.findall(r"^Job \d+: (.*)$", self.run("-n", *arguments), flags=re.M))

    def results(self, path=""):
        return self.folder / "results" / self.config["name"] / path

    def contents(self):
        """The bytes of every table of TABLES."""
        paths = [path for pattern in TABLES for path in self.results().glob(pattern)]
        return {str(path.relative_to(self.results())): path.read_bytes() for path in paths}

    def edit(self, path, before, after):
        file = self.folder / path
        text = file.read_text()
        assert before in text
        file.write_text(text.replace(before, after, 1))


@pytest.fixture
def new_project(tmp_path):
    """A function that makes a project of a configuration."""
    return lambda config: Project(tmp_path, config)


@pytest.fixture(scope="session")
def secret():
    """What the runs are given as the key of W&B."""
    return SECRET


@pytest.fixture(scope="session")
def tiny_config():
    return yaml.safe_load((ROOT / "tests/workflow/tiny.yaml").read_text())


@pytest.fixture(scope="session")
def finished(tmp_path_factory, tiny_config, worker_id):
    """A project that has run once, from phantoms to report: one for all processes that test; only to be read."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent
    output = shared / "finished.txt"
    with locked(shared / "finished.lock"):
        if output.exists():
            project = object.__new__(Project)
            project.folder, project.config = shared / "finished", tiny_config
        else:
            project = Project(shared / "finished", tiny_config)
            output.write_text(project.run())
    project.output = output.read_text()
    return project


@pytest.fixture
def copy(finished, tmp_path):
    """A copy of the finished project, to be changed at will: times and Snakemake's records are kept."""
    shutil.copytree(finished.folder, tmp_path / "copy", copy_function=shutil.copy2)
    project = object.__new__(Project)
    project.folder = tmp_path / "copy"
    project.config = yaml.safe_load(yaml.safe_dump(finished.config))
    return project
