"""Classifiers on a few numbers a volume: fitted on train, chosen on validation, one label at a time."""

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.special import logit
from sklearn.base import ClassifierMixin, clone

from hounsfield.errors import TableError
from hounsfield.predictions import prediction_table

log = logging.getLogger(__name__)

SPLITS = ("train", "val", "test")


def predict_splits(
    candidates: Sequence[ClassifierMixin], features: np.ndarray, dataset: pd.DataFrame, pathologies: Sequence[str]
) -> dict[str, pd.DataFrame]:
    """Predictions of the splits val and test, from features (N, F) of the dataset's rows.

    Raises TableError for an empty split.
    """
    rows = {split: np.flatnonzero(dataset["split"] == split) for split in SPLITS}
    for split, own in rows.items():
        if not len(own):
            raise TableError(f"dataset.tsv: no volume is in the {split} split; check the split block")
    labels = {split: dataset.iloc[rows[split]][list(pathologies)].astype(np.float64) for split in ("train", "val")}
    logits = fit_and_score(candidates, {split: features[own] for split, own in rows.items()}, labels)
    return {split: prediction_table(dataset.iloc[rows[split]], pathologies, logits[split]) for split in ("val", "test")}


def fit_and_score(
    candidates: Sequence[ClassifierMixin], features: Mapping[str, np.ndarray], labels: Mapping[str, pd.DataFrame]
) -> dict[str, np.ndarray]:
    """Logits (N, P) of the splits val and test.

    features: (N, F) of train, val and test. labels: a column a pathology, nan where unknown, of train and val; the test
    split's are not asked for. A label gets the candidate of the lowest log loss on validation, the first of equals:
    the simplest goes first.
    """
    columns = []
    for name in labels["train"]:
        train, val = (labels[split][name].to_numpy() for split in ("train", "val"))
        columns.append(_score_label(name, candidates, features, train, val))
    return {split: np.stack([column[split] for column in columns], axis=1) for split in ("val", "test")}


def log_loss(labels: np.ndarray, logits: np.ndarray) -> float:
    """Sum over the known labels (N,) of the negative log likelihood; 0 if none is known."""
    known = ~np.isnan(labels)
    return float(np.sum(np.logaddexp(0, logits[known]) - labels[known] * logits[known]))


def _score_label(
    name: str,
    candidates: Sequence[ClassifierMixin],
    features: Mapping[str, np.ndarray],
    train: np.ndarray,
    val: np.ndarray,
) -> dict[str, np.ndarray]:
    known = ~np.isnan(train)
    if len(np.unique(train[known])) < 2:
        log.warning("%s: train knows one kind only; every scan gets the same score", name)
        prior = logit((train[known].sum() + 1) / (known.sum() + 2))  # Laplace's estimate of the prevalence
        return {split: np.full(len(features[split]), prior) for split in ("val", "test")}
    fitted = [clone(candidate).fit(features["train"][known], train[known]) for candidate in candidates]
    losses = [log_loss(val, classifier.decision_function(features["val"])) for classifier in fitted]
    best = fitted[int(np.argmin(losses))]
    log.info("%s: %s", name, " ".join(str(best).split()))
    return {split: best.decision_function(features[split]) for split in ("val", "test")}
