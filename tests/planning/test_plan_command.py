"""`hounsfield plan`, from a cohort to a configuration that the workflow takes."""

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from hounsfield.cli.main import main
from hounsfield.config import check_config, merged

ROOT = Path(__file__).parents[2]
SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())


def change(site, **blocks):
    config = merged(yaml.safe_load((site / "mine.yaml").read_text()), blocks)
    (site / "mine.yaml").write_text(yaml.safe_dump(config))
    return config


def test_the_proposal_is_laid_over_the_configuration_as_it_is(site, capsys):
    before = {path.relative_to(site) for path in site.rglob("*")}
    assert main(["plan", "--config", "mine.yaml", "--output", "plan.yaml", "--hours", "0.05"]) == 0
    assert {path.relative_to(site) for path in site.rglob("*")} - before == {Path("plan.yaml")}
    page = capsys.readouterr().out
    overlay = yaml.safe_load((site / "plan.yaml").read_text())
    assert "preprocessing.shape" in page and str(overlay["preprocessing"]["shape"]) in page
    assert "snakemake --configfile mine.yaml plan.yaml" in page
    check_config(merged(yaml.safe_load((site / "mine.yaml").read_text()), overlay), SCHEMA)
    # 20 slices of 6 mm, 100 to 110 mm of body and a margin, 130 mm of body beside the middle by 15 mm.
    assert overlay["models"]["vit"]["training"]["epochs"] == 2 * overlay["training"]["epochs"] != 7
    assert all(n % 16 == 0 for n in overlay["preprocessing"]["shape"])
    snakemake = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "workflow/Snakefile"), "-n", "--cores", "1"]
    done = subprocess.run([*snakemake, "--configfile", "mine.yaml", "plan.yaml"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_value_has_its_reason_above_it(site):
    assert main(["plan", "--config", "mine.yaml", "--output", "plan.yaml", "--hours", "0.05", "--sample", "2"]) == 0
    lines = (site / "plan.yaml").read_text().splitlines()
    for above, line in pairwise(lines):
        if ": " in line and not line.strip().startswith("#"):
            assert above.strip().startswith("# "), line


def test_json_holds_the_same(site, capsys):
    assert main(["plan", "--config", "mine.yaml", "--json", "--hours", "0.05", "--sample", "2"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert set(content["settings"]) == {"threads", "preprocessing", "training", "models"}
    assert content["reasons"]["preprocessing.spacing"] and content["cohort"]["sampled"] == 2


@pytest.mark.parametrize(
    "blocks, told",
    [
        ({"modles": {}}, "config: modles: unknown key; did you mean 'models'?"),
        ({"cohort": {"volumes": "nowhere"}}, "is not a folder"),
        ({"cohort": {"labels": ["s3://bucket/labels.csv"]}}, "plan with a copy of the table"),
        ({"demo": {"patients": 20}, "cohort": {"volumes": "nowhere"}}, "mine.yaml --cores all demo_cohort` first"),
        ({"models": {"vit": {"variant": "huge"}}}, "has no variant 'huge'"),
    ],
)
def test_what_cannot_be_planned_is_one_line(site, caplog, blocks, told):
    change(site, **blocks)
    assert main(["plan", "--config", "mine.yaml", "--output", "plan.yaml", "--sample", "1"]) == 2
    assert told in caplog.text and not (site / "plan.yaml").exists()


@pytest.mark.parametrize("content", ["]", "- a list", ""])
def test_a_file_that_is_no_configuration_is_named(site, caplog, content):
    (site / "mine.yaml").write_text(content)
    assert main(["plan", "--config", "mine.yaml"]) == 2
    assert "mine.yaml: " in caplog.text
