"""The workflow as a module of another one, and started from another folder."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SNAKEFILE = ROOT / "workflow/Snakefile"
PROFILE = ROOT / "workflow/profiles/default"
# Their own configuration, of which the module is given a block; a rule of the same name as one of the module's.
THEIRS = f"""
configfile: "theirs.yaml"

module hounsfield:
    snakefile: "{SNAKEFILE}"
    config: config["ct"]

use rule * from hounsfield as ct_*

rule all:
    default_target: True
    input: rules.ct_dataset.output.dataset.format(run=config["ct"]["name"])
    output: "done.txt"
    run:
        Path(output[0]).write_text(str(sorted(config["ct"])))
"""


@pytest.fixture
def small(tiny_config):
    """No more than the way from phantoms to a dataset takes, in one shard."""
    return tiny_config | {"cohort": tiny_config["cohort"] | {"shards": 1}, "demo": {"patients": 12, "scans": 12}}


def snakemake(folder, *arguments, code=0):
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *map(str, arguments)]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert done.returncode == code, done.stdout[-4000:]
    return done.stdout


def captions(path):
    """What the report, a zip archive, says below its results."""
    with zipfile.ZipFile(path) as archive:
        return "".join(archive.read(name).decode() for name in archive.namelist() if name.endswith(".html"))


def test_as_a_module_it_runs_beside_the_rules_of_others(tmp_path, small):
    (tmp_path / "theirs.yaml").write_text(yaml.safe_dump({"colour": "blue", "ct": small}))
    (tmp_path / "Snakefile").write_text("from pathlib import Path\n" + THEIRS)
    planned = snakemake(tmp_path, "--workflow-profile", PROFILE, "-n", "ct_all")
    assert "ct_report_page" in planned and "ct_train" in planned
    snakemake(tmp_path, "--workflow-profile", PROFILE)
    assert (tmp_path / "results/tiny/cohort/dataset.tsv").read_text().startswith("volume\tscan\tpatient\tsplit")
    assert any((tmp_path / "results/store").glob("??/*"))  # the module's own configuration reaches its scripts
    assert (tmp_path / "done.txt").read_text() == str(sorted(small))  # and theirs stays as they wrote it
    assert "Nothing to be done" in snakemake(tmp_path, "--workflow-profile", PROFILE)
    snakemake(tmp_path, "--workflow-profile", PROFILE, "--report", "report.zip")
    assert "excluded" in captions(tmp_path / "report.zip")


def test_as_a_module_under_its_own_names_its_target_is_the_default(tmp_path, small):
    text = 'module hounsfield:\n    snakefile: "{}"\n    config: config\n\nuse rule * from hounsfield\n'
    (tmp_path / "Snakefile").write_text(text.format(SNAKEFILE))
    (tmp_path / "theirs.yaml").write_text(yaml.safe_dump(small))
    planned = snakemake(tmp_path, "--workflow-profile", PROFILE, "--configfile", "theirs.yaml", "-n")
    assert "report_page" in planned and "rule all" in planned


def test_a_module_names_what_is_wrong_in_its_configuration(tmp_path, small):
    (tmp_path / "theirs.yaml").write_text(yaml.safe_dump({"ct": small | {"sead": 3}}))
    (tmp_path / "Snakefile").write_text(THEIRS)
    said = snakemake(tmp_path, "--workflow-profile", PROFILE, "-n", code=1)
    assert "config: sead: unknown key; did you mean 'seed'?" in said


def test_from_another_folder_results_come_to_lie_there(tmp_path, small):
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(small))
    there = ("--snakefile", SNAKEFILE, "--directory", tmp_path / "there")
    named = ("--configfile", tmp_path / "mine.yaml", *there)
    assert "report_page" in snakemake(tmp_path, *named, "-n")
    snakemake(tmp_path, *named, "results/tiny/cohort/dataset.tsv")
    assert (tmp_path / "there/results/tiny/cohort/dataset.tsv").is_file()
    snakemake(tmp_path, *named, "--report", "report.zip", "results/tiny/cohort/dataset.tsv")
    assert "excluded" in captions(tmp_path / "there/report.zip")


def test_from_another_folder_its_own_configuration_goes_before_the_demo(tmp_path, small):
    there = ("--snakefile", SNAKEFILE, "--directory", tmp_path, "-n")
    assert "results/phantoms/report/index.html" in snakemake(tmp_path, *there)
    (tmp_path / "config").mkdir()
    (tmp_path / "config/config.yaml").write_text(yaml.safe_dump(small))
    assert "results/tiny/report/index.html" in snakemake(tmp_path, *there)


def test_rules_without_their_library_say_what_to_do(tmp_path):
    (tmp_path / "workflow/rules").mkdir(parents=True)
    for name in ("Snakefile", "rules/common.smk", "report/workflow.rst"):
        (tmp_path / "workflow" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "workflow" / name).write_text((ROOT / "workflow" / name).read_text())
    configuration = ("--configfile", ROOT / "config/config.yaml")
    said = snakemake(tmp_path, "--snakefile", tmp_path / "workflow/Snakefile", *configuration, "-n", code=1)
    assert "clone the workflow" in said
