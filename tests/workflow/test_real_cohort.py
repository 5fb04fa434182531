"""Real CT through the whole workflow: a shorter run than the one that docs/benchmarks.md reports."""

from pathlib import Path

import pytest
import yaml

from hounsfield.tables import read_table

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared/data/lidc"


@pytest.mark.skipif(not DATA.is_dir(), reason=f"the real cohort is not at {DATA}")
def test_nodules_of_real_ct_are_told_apart(new_project):
    config = yaml.safe_load((ROOT / "tests/workflow/lidc.yaml").read_text())
    config["cohort"] |= {"volumes": str(DATA / "volumes"), "labels": [str(DATA / "labels.csv")]}
    config["training"]["epochs"] = 12
    project = new_project(config)
    project.run("results/lidc/metrics/resnet/seed0/overall.tsv")
    dataset = read_table(project.results("cohort/dataset.tsv"), ["volume", "patient", "split"])
    assert len(dataset) == 795 and dataset["patient"].nunique() == 440
    assert dataset.groupby("patient")["split"].nunique().max() == 1
    assert len(read_table(project.results("cohort/excluded.tsv"))) == 0
    overall = read_table(project.results("metrics/resnet/seed0/overall.tsv"), ["metric"]).set_index("metric")
    assert overall.loc["roc_auc_macro", "value"] >= 0.8
