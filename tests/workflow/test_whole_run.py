"""From phantoms to the report, and what comes out."""

import re
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from hounsfield.tables import read_table
from hounsfield.training.checkpoints import load_model

pytestmark = pytest.mark.workflow

PER_PATHOLOGY = [
    *["pathology", "n", "n_positive", "n_negative", "prevalence", "roc_auc", "roc_auc_low", "roc_auc_high"],
    *["average_precision", "average_precision_low", "average_precision_high", "threshold", "f1", "precision", "recall"],
    *["sensitivity", "specificity", "accuracy", "brier"],
]


def test_every_stage_leaves_what_it_promises(finished):
    dataset = read_table(finished.results("cohort/dataset.tsv"), ["volume", "patient", "split", "key"])
    assert dataset.groupby("patient")["split"].nunique().max() == 1
    assert set(dataset["split"]) == {"train", "val", "test"}
    for model in ("resnet", "vit"):
        network, content = load_model(finished.results(f"models/{model}/seed0/best.pth"))
        assert content["pathologies"] == finished.config["cohort"]["pathologies"]
        assert sum(parameter.numel() for parameter in network.parameters()) > 1000
        history = read_table(finished.results(f"models/{model}/seed0/history.tsv"))
        assert list(history["epoch"]) == [0, 1]
        metrics = read_table(finished.results(f"metrics/{model}/seed0/per_pathology.tsv"), ["pathology"])
        assert list(metrics.columns)[: len(PER_PATHOLOGY)] == PER_PATHOLOGY
        overall = read_table(finished.results(f"metrics/{model}/seed0/overall.tsv"), ["metric"]).set_index("metric")
        assert (overall["low"].isna() == overall["reason"].notna()).all()
        shown = overall.dropna(subset="low")
        assert (shown["low"] <= shown["value"] + 1e-9).all() and (shown["value"] <= shown["high"] + 1e-9).all()
    for table in ("models", "pairs", "seeds"):
        assert len(read_table(finished.results(f"comparison/{table}.tsv"))) > 0
    page = finished.results("report/index.html").read_text()
    assert "<svg" in page and "data:image/" in page
    outside = re.findall(r"""(?:src|href)=["'](?!data:|#)|url\((?!#|data:)""", page)
    assert outside == []


def test_every_job_leaves_a_log_and_a_benchmark(finished):
    logs = list(finished.results("logs").rglob("*.log"))
    assert len(logs) >= 15
    for path in logs:
        text = path.read_text()
        assert "started" in text and "finished" in text, path
    assert len(list(finished.results("benchmarks").rglob("*.tsv"))) == len(logs)


def test_no_secret_is_written_anywhere(finished, secret):
    assert secret not in finished.output
    files = [path for path in finished.folder.rglob("*") if path.is_file()]
    assert any("wandb" in path.parts for path in files), "W&B wrote its files"
    assert [path for path in files if secret.encode() in path.read_bytes()] == []


def test_progress_is_written_in_plain_lines(finished):
    log = finished.results("logs/train/vit/seed0.log").read_text()
    assert "epoch 1 of 2" in log and "epoch 2 of 2" in log and "\r" not in log


def test_the_snakemake_report_is_complete(finished, copy):
    """Every result, with a category and a caption; what only stages need, such as shards, is left out."""
    copy.run("--report", "report.zip")
    names = zipfile.ZipFile(copy.folder / "report.zip").namelist()
    held = Counter(Path(name).name for name in names if "/raw/" in name)
    folders = ("metrics", "comparison", "explanations", "predictions", "footprints", "report")
    files = [path for folder in folders for path in finished.results(folder).rglob("*") if path.is_file()]
    files += [*finished.results("models").rglob("history.tsv"), finished.results("cohort/summary.tsv")]
    files.append(finished.results("cohort/excluded.tsv"))
    expected = Counter(path.name for path in files if not path.name.startswith("."))
    assert expected - held == Counter()
    assert len(expected) > 20


def test_the_saliency_maps_are_put_to_the_test(finished):
    for model in ("resnet", "vit"):
        table = read_table(finished.results(f"explanations/{model}/pointing.tsv"), ["pathology"])
        assert table["scans"].sum() > 0 and (table["hits"] <= table["scans"]).all()
    assert "Pointing game" in finished.results("report/index.html").read_text()


def test_braces_in_a_label_are_no_wildcards(new_project, tiny_config):
    labels = ["GGO {lower}", "{shard}", "a}b{"]
    project = new_project(tiny_config | {"cohort": tiny_config["cohort"] | {"pathologies": labels}})
    assert "Compare the models on the same resamples" in project.would_run()


def test_a_key_given_twice_stops_before_any_work(new_project, tiny_config):
    project = new_project(tiny_config)
    twice = project.folder / "twice.yaml"
    twice.write_text("threads: 2\nthreads: 3\n")
    told = project.run("-n", "--configfile", twice.name, check=False)
    assert "twice.yaml: line 2: threads is given twice; remove one of the two" in told and "Traceback" not in told
