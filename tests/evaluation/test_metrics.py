"""Metrics against scikit-learn's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    brier_score_loss,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
)

from hounsfield.evaluation import compute_metrics

NAMES = ["nodule", "<b>effusion</b>", "emphysema"]
PLAIN = ("auc", "f1", "precision", "recall", "sensitivity", "specificity")
DESIGNED = ("roc_auc_macro", "roc_auc_micro", "f1_macro", "precision_macro", "recall_macro", "accuracy")
DESIGNED += ("specificity_macro", "specificity_micro")


@st.composite
def cases(draw):
    n = draw(st.integers(1, 25))
    # Few values make many ties; large ones round to the probability 1, where logits still differ.
    tied = st.sampled_from([-1.5, -0.25, 0.0, 0.25, 3.0, 40.0, 45.0])
    values = draw(st.sampled_from([tied, st.floats(-60, 60)]))
    logits = draw(arrays(np.float64, (n, 3), elements=values))
    labels = draw(arrays(np.float64, (n, 3), elements=st.sampled_from([0.0, 1.0, 1.0, np.nan])))
    for column in range(3):
        if draw(st.integers(0, 4)) == 0:
            labels[:, column] = draw(st.sampled_from([0.0, 1.0, np.nan]))
    return logits, labels, draw(st.lists(st.floats(0.05, 0.95), min_size=3, max_size=3))


def reference(labels, logits, threshold):
    """scikit-learn's values of one label's known cases; nan where the labels leave the metric undefined."""
    known = ~np.isnan(labels)
    y, score = labels[known], logits[known]
    probability = expit(score)
    called = probability >= threshold
    nan = float("nan")
    positives, negatives = (y == 1).any(), (y == 0).any()
    sensitivity = recall_score(y, called) if positives else nan
    return {
        "auc": roc_auc_score(y, score) if positives and negatives else nan,
        "average_precision": average_precision_score(y, score) if positives else nan,
        "f1": f1_score(y, called) if positives else nan,
        "precision": precision_score(y, called, zero_division=nan) if positives else nan,
        "recall": sensitivity,
        "sensitivity": sensitivity,
        "specificity": recall_score(1 - y, ~called) if negatives else nan,
        "accuracy": accuracy_score(y, called) if len(y) else nan,
        "brier": brier_score_loss(y, probability, pos_label=1) if len(y) else nan,
    }


@settings(max_examples=80, deadline=None)
@given(cases())
def test_equals_scikit_learn(case):
    logits, labels, thresholds = case
    metrics = compute_metrics(logits, labels, NAMES, thresholds)
    each = [reference(labels[:, j], logits[:, j], thresholds[j]) for j in range(3)]
    for name, expected in zip(NAMES, each, strict=True):
        for metric, value in expected.items():
            assert metrics[f"{name}_{metric}"] == pytest.approx(value, abs=1e-12, nan_ok=True), metric
    for metric in each[0]:
        defined = [values[metric] for values in each if not np.isnan(values[metric])]
        macro = np.mean(defined) if defined else np.nan
        key = {"auc": "roc_auc"}.get(metric, metric)
        assert metrics[f"{key}_macro"] == pytest.approx(macro, abs=1e-12, nan_ok=True), metric


@settings(max_examples=40, deadline=None)
@given(cases())
def test_micro_metrics_equal_scikit_learn_on_all_labels_pooled(case):
    logits, labels, _ = case
    metrics = compute_metrics(logits, labels, NAMES, 0.4)
    pooled = reference(labels.ravel(), logits.ravel(), 0.4)
    for metric in set(pooled) - {"brier"}:
        key = {"auc": "roc_auc"}.get(metric, metric)
        assert metrics[f"{key}_micro"] == pytest.approx(pooled[metric], abs=1e-12, nan_ok=True), metric
    assert metrics["accuracy"] == metrics["accuracy_micro"] or np.isnan(metrics["accuracy"])


def test_has_the_names_that_others_rely_on():
    metrics = compute_metrics(np.zeros((2, 1)), np.array([[0], [1]]), ["Lung nodule"])
    assert set(DESIGNED) <= set(metrics)
    assert {f"Lung nodule_{name}" for name in PLAIN} <= set(metrics)


def test_a_label_without_positives_blanks_its_own_cells_and_leaves_the_macro_over_the_others():
    labels = np.array([[1, 0], [0, 0], [1, 0], [0, 0]])
    logits = np.array([[2, 1], [-1, -1], [-0.5, 3], [0.5, -2]])
    both = compute_metrics(logits, labels, ["a", "b"])
    alone = compute_metrics(logits[:, :1], labels[:, :1], ["a"])
    for metric in ("auc", "average_precision", "f1", "precision", "recall", "sensitivity"):
        assert np.isnan(both[f"b_{metric}"])
    for metric in ("roc_auc_macro", "f1_macro", "precision_macro", "recall_macro"):
        assert both[metric] == alone[metric]
    assert both["b_specificity"] == 0.5


def test_unknown_labels_do_not_count():
    labels = np.array([[1], [0], [np.nan], [1], [0]])
    logits = np.array([[1.0], [2.0], [9.0], [3.0], [-1.0]])
    known = ~np.isnan(labels[:, 0])
    assert compute_metrics(logits, labels, ["a"]) == compute_metrics(logits[known], labels[known], ["a"])


@pytest.mark.parametrize(
    ("labels", "names"), [(np.zeros((3, 2)), ["a"]), (np.zeros((2, 1)), ["a"]), (np.full((3, 1), 0.5), ["a"])]
)
def test_refuses_what_does_not_fit(labels, names):
    with pytest.raises(ValueError, match="label"):
        compute_metrics(np.zeros((3, 1)) if labels.shape[1] == 1 else np.zeros((3, 2)), labels, names)
