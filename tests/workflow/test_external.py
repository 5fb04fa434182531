"""Trained networks on other cohorts: as an external test set, and on a folder of scans without tables."""

import shutil
from html import unescape

import numpy as np
import pytest
import yaml
from scipy.special import expit

from hounsfield.tables import read_table

pytestmark = pytest.mark.workflow


def cohort(copy, name, **changes):
    """A configuration file of another cohort of phantoms."""
    config = yaml.safe_load(yaml.safe_dump(copy.config)) | {"name": name} | changes
    folder = f"results/{name if 'demo' in config else 'tiny'}/demo"
    tables = {table: [f"{folder}/{table}.csv"] for table in ("labels", "metadata")}
    config["cohort"] |= {"volumes": f"{folder}/volumes", "shards": 2} | tables
    config["cohort"]["pathologies"] = ["Cardiomegaly", "Lung nodule", "Emphysema"]
    (copy.folder / f"{name}.yaml").write_text(yaml.safe_dump(config))
    return f"external={name}.yaml"


def table(copy, path, *index):
    return read_table(copy.folder / "results" / path, index).set_index(list(index))


def test_networks_are_scored_unchanged_on_another_cohort(finished, copy):
    external = cohort(copy, "other", seed=7, demo={"patients": 16, "scans": 20})
    output = copy.run("--config", external)
    assert "Train " not in output and copy.contents() == finished.contents()
    assert set(table(copy, "other/cohort/dataset.tsv", "volume")["split"]) == {"test"}
    compared = table(copy, "other/comparison/external.tsv", "model", "metric", "pathology")
    for model in ("resnet", "vit"):
        inside, outside = (
            table(copy, f"{name}/metrics/{model}/seed0/per_pathology.tsv", "pathology") for name in ("tiny", "other")
        )
        assert list(outside.index) == ["Lung nodule", "Cardiomegaly"]
        np.testing.assert_array_equal(outside["threshold"], inside.loc[outside.index, "threshold"])
        rows = compared.loc[(model, "roc_auc")]
        np.testing.assert_array_equal(rows.loc[inside.index, "internal"], inside["roc_auc"])
        np.testing.assert_array_equal(rows.loc[outside.index, "external"], outside["roc_auc"])
        assert rows.loc["Pleural effusion", ["external", "difference"]].isna().all()
    page = (copy.folder / "results/other/report/index.html").read_text()
    assert 'id="external"' in page
    again = yaml.safe_load(
        unescape(page.split("<summary>Configuration</summary>")[1].split(">", 1)[1].split("</pre>")[0])
    )
    assert again["name"] == "tiny" and again["external"] == "other.yaml" and "internal" not in again
    assert copy.would_run("--config", external) == set()


@pytest.mark.slow
def test_what_cannot_be_an_external_test_is_one_line(copy):
    del copy.config["demo"]
    same = cohort(copy, "same")
    told = copy.run("--config", same, "--", "results/same/cohort/dataset.tsv", check=False)
    assert "hold images that the networks were trained or chosen on" in told
    assert not (copy.folder / "results/same/cohort/dataset.tsv").exists()
    shutil.rmtree(copy.results("models/vit"))
    told = copy.run("--config", same, check=False)
    assert "vit/seed0/best.pth is missing; train it first" in told and "Traceback" not in told


@pytest.mark.slow
def test_a_folder_of_new_scans_is_scored_shard_by_shard(copy):
    """The networks alone are needed; what is added later is a shard's work; a bad file is named."""
    manifest = read_table(copy.results("cohort/manifest.tsv"), ["volume", "path", "split"])
    paths = manifest.loc[manifest["split"] == "val", "path"].tolist()
    folder = copy.folder / "new"
    folder.mkdir()
    (folder / "page.nii.gz").write_bytes(b"<html>")
    late, *rest = (shutil.copy2(copy.folder / path, copy.folder) for path in paths)
    for path in rest:
        shutil.copy2(path, folder)
    for name in ("cohort", "demo", "comparison", "report"):
        shutil.rmtree(copy.results(name))
    del copy.config["models"]["resnet"]
    arguments = ("scores", "--config", "input=new")
    copy.run(*arguments)
    assert copy.would_run(*arguments) == set()
    scores = copy.results("inference/new/vit-seed0.tsv")
    assert _agree(copy, scores, len(paths) - 1)
    refused = table(copy, "tiny/inference/new/refused.tsv", "volume", "reason")
    assert refused.index.tolist() == [("page", "not_an_image")]
    shutil.copy2(late, folder)
    output = copy.run(*arguments)
    assert output.count(": Put the scans of shard") == output.count(": Score the scans of shard") == 1
    assert _agree(copy, scores, len(paths))


def _agree(copy, path, scans):
    """Whether the scores are those of the run's own validation split, but for the rounding of other batches."""
    scores = read_table(path, ["volume", "pathology"])
    validation = table(copy, "tiny/predictions/vit/seed0/val.tsv", "volume")
    points = table(copy, "tiny/metrics/vit/seed0/operating_points.tsv", "pathology")
    logits = np.array([validation.loc[row.volume, f"logit {row.pathology}"] for row in scores.itertuples()])
    np.testing.assert_allclose(scores["probability"], expit(logits), rtol=1e-6)
    np.testing.assert_array_equal(scores["threshold"], points.loc[scores["pathology"], "threshold"])
    np.testing.assert_array_equal(scores["finding"], scores["probability"] >= scores["threshold"])
    return scores["volume"].nunique() == scans and len(scores) == scans * len(points)
