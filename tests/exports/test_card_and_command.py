"""The model card tells what the run knows and nothing else; the command says what it cannot do."""

import numpy as np
import pandas as pd
import pytest

from hounsfield.cli.export_command import main
from hounsfield.exports.card import as_text, render_card
from hounsfield.exports.facts import RunFacts, read_facts
from hounsfield.tables import read_table, write_table

AGREEMENT = pd.DataFrame([["onnx", 3, 2e-7, 1e-4]], columns=["format", "volumes", "largest_difference", "tolerance"])
HOSTILE = "$import os | <b>@#x</b>"


def make_dataset():
    rows = [
        {"volume": f"v{i}", "scan": f"s{i}", "patient": f"p{i // 2}", "split": ["train", "val", "test"][i % 3]}
        | {"Lung nodule": float(i % 2), HOSTILE: np.nan, "%Emphysema": float(i < 3)}
        for i in range(12)
    ]
    return pd.DataFrame(rows)


def make_metrics():
    row = {"pathology": HOSTILE, "n": 40, "n_positive": 7, "sensitivity": 0.75, "specificity": np.nan}
    for name in ("roc_auc", "average_precision"):
        row |= {name: 0.8125, f"{name}_low": 0.7, f"{name}_high": 0.9}
    return pd.DataFrame([row, {"pathology": "Lung nodule", "n": 40, "n_positive": 0}])


def test_the_card_is_filled_from_the_run(prepare):
    trained, _ = prepare()
    overall = pd.DataFrame([["roc_auc_macro", 0.8125, 0.7, 0.9]], columns=["metric", "value", "low", "high"])
    facts = RunFacts(
        run="cohort_[a](http://b)",
        model="vit",
        seed="0",
        dataset=make_dataset(),
        history=pd.DataFrame({"epoch": [0, 1, 2]}),
        overall=overall,
        per_pathology=make_metrics(),
        training={"epochs": 3, "loss": {"kind": "bce"}},
        evaluation={"confidence": 0.95},
    )
    card = render_card(trained, facts, AGREEMENT)
    for told in (
        r"# Model card: vit of the run cohort\_\[a\](http://b), seed 0",
        "| train | 4 | 4 | 4 |",
        "| Lung nodule | 2 of 4 (50.0 %) | 2 of 4 (50.0 %) | 2 of 4 (50.0 %) |",
        "| %Emphysema | 1 of 4 (25.0 %) | 1 of 4 (25.0 %) | 1 of 4 (25.0 %) |",
        r"| $import os \| &lt;b&gt;@#x&lt;/b&gt; | 0 of 0 | 0 of 0 | 0 of 0 |",
        "| 7 of 40 | 0.812 (0.700 to 0.900) | 0.812 (0.700 to 0.900) | 0.75 | – |",
        "| Lung nodule | 0 of 40 | – | – | – | – |",
        r"| roc\_auc\_macro | 0.8125 | 0.7 | 0.9 |",
        "| loss.kind | bce |",
        "| confidence | 0.95 |",
        "Epochs trained: 3.",
        "| onnx | 3 | 2e-07 | 0.0001 |",
        "| Lung nodule | 12 | 0.5 | 0.5 |",
        "fitted on the validation split",
    ):
        assert told in card, told
    assert "<b>" not in card and "Missing" not in card and "model.pt2" not in card


def test_what_is_missing_is_said_and_not_made_up(prepare):
    trained, _ = prepare()
    card = render_card(trained, RunFacts(), AGREEMENT.iloc[:0])
    assert card.startswith("# Model card: vit3d tiny\n")
    for name in ("dataset.tsv", "training settings", "overall.tsv", "per_pathology.tsv"):
        assert any(line.startswith("Missing") and name in line for line in card.splitlines()), name
    assert "Epochs trained: not recorded." in card and "AUROC" not in card and "### Files" not in card


@pytest.mark.parametrize(
    "value, text",
    [
        (None, "–"),
        (float("nan"), "–"),
        (0.0, "0"),
        (1234567.0, "1.235e+06"),
        ("a|b\nc", r"a\|b c"),
        ("[x](y) <script>", r"\[x\](y) &lt;script&gt;"),
    ],
)
def test_cells_are_text(value, text):
    assert as_text(value) == text


def test_facts_lie_in_the_run_of_the_checkpoint(tmp_path):
    best = tmp_path / "results/mine/models/vit/seed3/best.pth"
    write_table(make_dataset().assign(key="0" * 32), tmp_path / "results/mine/cohort/dataset.tsv")
    write_table(make_metrics(), tmp_path / "results/mine/metrics/vit/seed3/per_pathology.tsv")
    facts = read_facts(best)
    assert (facts.run, facts.model, facts.seed) == ("mine", "vit", "3")
    assert len(facts.dataset) == 12 and len(facts.per_pathology) == 2
    assert facts.overall is None and facts.history is None and facts.training is None
    fold = tmp_path / "results/mine/folds/2/models/vit/seed3/best.pth"
    assert read_facts(fold).run == "mine, fold 2"
    assert read_facts(tmp_path / "best.pth") == RunFacts()


def test_the_command_exports_a_model_that_was_moved(prepare, scans, tmp_path, caplog):
    prepare()
    arguments = ["--model", tmp_path / "best.pth", "--output", tmp_path / "out", "--threads", 1]
    arguments += ["--formats", "safetensors, card", "--input", scans, tmp_path / "absent.nii.gz"]
    assert main([str(each) for each in arguments]) == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"agreement.tsv", "model.safetensors", "model_card.md"}
    agreement = read_table(tmp_path / "out/agreement.tsv", ["format"])
    assert agreement[["format", "volumes"]].values.tolist() == [["safetensors", 3]]
    assert "not calibrated" in (tmp_path / "out/model_card.md").read_text()
    assert "absent.nii.gz: missing" in caplog.text


@pytest.mark.parametrize(
    "changes, told",
    [
        (["--formats", "tflite"], "'tflite' is not one of onnx, torch"),
        (["--volumes", "0"], "at least one"),
        ([], "lies in no run's folder; give scans"),
    ],
)
def test_the_command_says_what_it_cannot_do(prepare, tmp_path, caplog, changes, told):
    prepare()
    assert main(["--model", str(tmp_path / "best.pth"), "--output", str(tmp_path / "out"), *changes]) == 2
    assert told in caplog.text and not (tmp_path / "out").exists()
