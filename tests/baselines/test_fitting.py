"""Fitting on train, choosing on validation: the test split's labels reach neither."""

import inspect

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from hounsfield.baselines import fitting
from hounsfield.baselines.fitting import fit_and_score, log_loss, predict_splits
from hounsfield.errors import TableError

NAMES = ["a", "b"]
CANDIDATES = [LogisticRegression(C=strength) for strength in (1e-4, 1.0)]


def cohort(n=120, seed=0):
    """Features that tell label a, and not b; some of b's labels are unknown."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, (n, 2)).astype(float)
    features = random.normal(size=(n, 3))
    features[:, 1] += 2 * labels[:, 0]
    labels[::7, 1] = np.nan
    names = [f"v{number}" for number in range(n)]
    table = pd.DataFrame({"volume": names, "scan": names, "patient": names})
    table["split"] = np.resize(["train", "train", "val", "test"], n)
    table[NAMES] = labels
    return table, features


def test_what_the_features_tell_is_learned_and_nothing_else():
    dataset, features = cohort()
    predictions = predict_splits(CANDIDATES, features, dataset, NAMES)
    for split, table in predictions.items():
        own = dataset[dataset["split"] == split].reset_index(drop=True)
        columns = ["volume", "scan", "patient", "label a", "label b", "logit a", "logit b"]
        assert list(table.columns) == columns
        pd.testing.assert_series_equal(table["label b"], own["b"], check_names=False)
        assert roc_auc_score(table["label a"], table["logit a"]) > 0.8
        assert table[["logit a", "logit b"]].notna().all(axis=None)


def test_test_labels_reach_no_fit_and_no_choice():
    dataset, features = cohort()
    first = predict_splits(CANDIDATES, features, dataset, NAMES)
    test = dataset["split"] == "test"
    dataset.loc[test, NAMES] = 1 - dataset.loc[test, NAMES]
    second = predict_splits(CANDIDATES, features, dataset, NAMES)
    for split in ("val", "test"):
        logits = [f"logit {name}" for name in NAMES]
        pd.testing.assert_frame_equal(first[split][logits], second[split][logits], check_exact=True)
    dataset.loc[dataset["split"] == "train", NAMES] = dataset.loc[dataset["split"] == "train", NAMES[::-1]].to_numpy()
    other = predict_splits(CANDIDATES, features, dataset, NAMES)
    assert not np.allclose(first["test"]["logit a"], other["test"]["logit a"])


def test_the_code_that_fits_is_given_no_test_labels(monkeypatch):
    dataset, features = cohort()
    seen = []
    monkeypatch.setattr(fitting, "fit_and_score", lambda *given: seen.append(given) or fit_and_score(*given))
    predict_splits(CANDIDATES, features, dataset, NAMES)
    ((_, _, labels),) = seen
    assert set(labels) == {"train", "val"}
    for split, table in labels.items():
        pd.testing.assert_frame_equal(table, dataset.loc[dataset["split"] == split, NAMES])
    assert list(inspect.signature(fit_and_score).parameters) == ["candidates", "features", "labels"]


@pytest.mark.parametrize("better", [0, 1])
def test_the_candidate_is_chosen_by_validation(better):
    dataset, features = cohort()
    val = dataset["split"] == "val"
    if better == 0:  # labels that the strongly fitted classifier gets wrong
        dataset.loc[val, "a"] = 1 - dataset.loc[val, "a"]
    labels = {split: dataset.loc[dataset["split"] == split, ["a"]] for split in ("train", "val")}
    by_split = {split: features[dataset["split"] == split] for split in ("train", "val", "test")}
    logits = fit_and_score(CANDIDATES, by_split, labels)["test"]
    expected = CANDIDATES[better].fit(by_split["train"], labels["train"]["a"]).decision_function(by_split["test"])
    np.testing.assert_array_equal(logits[:, 0], expected)


def test_a_label_of_one_kind_gets_one_score():
    dataset, features = cohort()
    dataset.loc[dataset["split"] == "train", "b"] = 0.0
    table = predict_splits(CANDIDATES, features, dataset, NAMES)["test"]
    assert table["logit b"].nunique() == 1 and table["logit b"].iloc[0] < 0


def test_unknown_labels_cost_nothing():
    labels, logits = np.array([1.0, np.nan, 0.0]), np.array([2.0, 50.0, 1.0])
    assert log_loss(labels, logits) == pytest.approx(-np.log(1 / (1 + np.exp(-2))) - np.log(1 - 1 / (1 + np.exp(-1))))
    assert log_loss(np.array([np.nan]), np.array([3.0])) == 0


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_an_empty_split_is_named(split):
    dataset, features = cohort()
    keep = (dataset["split"] != split).to_numpy()
    with pytest.raises(TableError, match=f"no volume is in the {split} split"):
        predict_splits(CANDIDATES, features[keep], dataset[keep].reset_index(drop=True), NAMES)
