"""Published protocols and exports against scikit-learn, written out."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score, roc_auc_score

from hounsfield.evaluation import EvaluationSettings, compare_models
from hounsfield.evaluation.exports import latex_table, markdown_table, vlm3d_metrics, write_exports
from hounsfield.evaluation.protocols import ct_clip_metrics, ct_clip_thresholds, protocol_table
from hounsfield.evaluation.scored_model import prepare_model

NAMES = ["A", "B", "C"]


@pytest.fixture
def scored(make_predictions):
    return prepare_model(make_predictions(1, cohort=1), make_predictions(2), NAMES, EvaluationSettings())


def published_threshold(probabilities, labels):
    best, chosen = np.inf, 0.0
    for threshold in np.linspace(0, 1, 100):
        called = probabilities > threshold
        distance = np.hypot(1 - recall_score(labels, called), 1 - recall_score(1 - labels, ~called))
        # The last of the nearest, give or take rounding.
        if distance <= best + 1e-12:
            best, chosen = distance, threshold
    return chosen


def test_ct_clip_equals_the_published_loop(scored):
    thresholds = ct_clip_thresholds(scored.test)
    values = ct_clip_metrics(scored.test.labels, scored.test.probabilities > thresholds)
    for j in range(3):
        known = ~np.isnan(scored.test.labels[:, j])
        labels, probabilities = scored.test.labels[known, j], scored.test.probabilities[known, j]
        assert thresholds[j] == pytest.approx(published_threshold(probabilities, labels))
        called = probabilities > thresholds[j]
        assert values["weighted_f1"][j] == pytest.approx(f1_score(labels, called, average="weighted"), abs=1e-12)
        assert values["accuracy"][j] == pytest.approx(accuracy_score(labels, called), abs=1e-12)
        assert values["precision"][j] == pytest.approx(precision_score(labels, called), abs=1e-12)


def test_the_optimistic_protocol_is_labelled_and_the_honest_one_beside_it(scored):
    assert protocol_table({"m": {0: scored}}, NAMES, EvaluationSettings()).empty
    table = protocol_table({"m": {0: scored}}, NAMES, EvaluationSettings(protocols=("ct-clip",)))
    notes = table.groupby("protocol")["note"].unique()
    assert notes["ct-clip"].tolist() == ["optimistic: threshold chosen on the test labels"]
    assert notes["validation"].tolist() == ["threshold from validation"]
    assert set(table["pathology"]) == {*NAMES, "(macro)"}
    honest = table[(table["protocol"] == "validation") & (table["metric"] == "accuracy")].set_index("pathology")
    known = ~np.isnan(scored.test.labels[:, 0])
    expected = accuracy_score(scored.test.labels[known, 0], scored.decisions[known, 0])
    assert honest.loc["A", "value"] == pytest.approx(expected)


def test_vlm3d_metrics_equal_scikit_learn(scored):
    metrics = vlm3d_metrics(scored, NAMES)
    assert set(metrics) == {"classification", "crg"}
    for j, row in enumerate(metrics["classification"]["per_pathology"]):
        known = ~np.isnan(scored.test.labels[:, j])
        labels, called = scored.test.labels[known, j], scored.decisions[known, j]
        assert row["name"] == NAMES[j]
        assert row["f1"] == pytest.approx(f1_score(labels, called), abs=1e-12)
        assert row["precision"] == pytest.approx(precision_score(labels, called), abs=1e-12)
        assert row["recall"] == pytest.approx(recall_score(labels, called), abs=1e-12)
        assert row["accuracy"] == pytest.approx(accuracy_score(labels, called), abs=1e-12)
        assert row["auroc"] == pytest.approx(roc_auc_score(labels, scored.test.logits[known, j]), abs=1e-12)
    each = [row["auroc"] for row in metrics["classification"]["per_pathology"]]
    assert metrics["classification"]["macro"]["auroc"] == pytest.approx(np.mean(each))


def test_crg_is_one_when_all_is_right_and_a_third_when_all_or_nothing_is_called(scored):
    labels = scored.test.labels
    nothing = np.zeros(labels.shape, bool)
    for decisions, expected in ((labels == 1, 1.0), (nothing, 1 / 3), (~nothing, 1 / 3)):
        other = with_decisions(scored, decisions)
        assert vlm3d_metrics(other, NAMES)["crg"]["CRG"] == pytest.approx(expected)


def with_decisions(scored, decisions):
    """The same scans with other decisions."""
    scores = replace(scored.test, probabilities=decisions.astype(float))
    return replace(scored, test=scores, thresholds=np.full(3, 0.5))


def test_hostile_names_are_shown_as_text_and_files_are_complete(make_predictions, tmp_path):
    name = "res_net|<script>#1 & 50%"
    predictions = {name: {0: (make_predictions(1, cohort=1), make_predictions(2))}}
    settings = EvaluationSettings(replicates=50)
    tables = compare_models(predictions, NAMES, settings)
    markdown, latex = markdown_table(tables["models"]), latex_table(tables["models"])
    rows = markdown.splitlines()
    assert r"res\_net\|&lt;script&gt;#1 &amp; 50%" in rows[2]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {7}
    assert r"res\_net|<script>\#1 \& 50\% & 0." in latex
    write_exports({"m": predictions[name]}, tables, NAMES, settings, tmp_path)
    content = json.loads((tmp_path / "vlm3d_m_seed0.json").read_text())
    assert content["classification"]["macro"]["f1"] is not None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results.md", "results.tex", "vlm3d_m_seed0.json"]


def test_undefined_cells_say_so(make_predictions):
    test = make_predictions(2)
    for pathology in NAMES:
        test[f"label {pathology}"] = 0.0
    tables = compare_models({"m": {0: (test, test)}}, NAMES, EvaluationSettings(replicates=20))
    assert markdown_table(tables["models"]).splitlines()[2].startswith("| m | – | – | – | – |")
    scored = prepare_model(test, test, NAMES, EvaluationSettings())
    assert vlm3d_metrics(scored, NAMES)["crg"]["CRG"] is None
    json.dumps(vlm3d_metrics(scored, NAMES), allow_nan=False)
