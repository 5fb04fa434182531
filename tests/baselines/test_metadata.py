"""Metadata as features: read and scaled by the train split alone, whatever the tables hold."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from hounsfield.baselines.fitting import predict_splits
from hounsfield.baselines.metadata import GEOMETRY, encode, metadata_candidates, metadata_features
from hounsfield.baselines.settings import MetadataSettings

SETTINGS = MetadataSettings("metadata", ("age", "kernel"))


def tables(n=160):
    """A dataset with a label that leaks through the kernel, one that goes with age, and one of chance."""
    random = np.random.default_rng(0)
    names = [f"v{number:03d}" for number in range(n)]
    dataset = pd.DataFrame({"volume": names, "scan": names, "patient": names})
    dataset["split"] = np.resize(["train", "train", "val", "test"], n)
    kernel, age = random.integers(0, 2, n), random.integers(20, 90, n)
    dataset["leaked"] = np.where(random.random(n) < 0.9, kernel, 1 - kernel).astype(float)
    dataset["aged"] = (age + random.normal(0, 10, n) > 55).astype(float)
    dataset["chance"] = random.integers(0, 2, n).astype(float)
    stored = pd.DataFrame({"volume": names[::-1], **{column: random.normal(2, 1, n) for column in GEOMETRY}})
    metadata = pd.DataFrame({"volume": names, "age": [f"{years:03d}Y" for years in age]})
    metadata["kernel"] = np.where(kernel == 1, "sharp", "soft")
    return dataset, stored, metadata


def test_labels_that_leak_are_told_and_chance_is_not():
    dataset, stored, metadata = tables()
    features = metadata_features(dataset, stored, metadata, SETTINGS)
    table = predict_splits(metadata_candidates(0), features, dataset, ["leaked", "aged", "chance"])["test"]
    auc = {name: roc_auc_score(table[f"label {name}"], table[f"logit {name}"]) for name in ("leaked", "aged", "chance")}
    assert auc["leaked"] > 0.8 and auc["aged"] > 0.8 and 0.25 < auc["chance"] < 0.75


def test_only_what_is_asked_for_is_looked_at():
    dataset, stored, metadata = tables()
    alone = metadata_features(dataset, stored, metadata, MetadataSettings("metadata", ("age",), geometry=False))
    assert alone.shape == (len(dataset), 1)
    years = metadata["age"].str[:3].astype(float)
    assert np.corrcoef(alone[:, 0], years)[0, 1] == pytest.approx(1)
    assert metadata_features(dataset, stored, metadata, MetadataSettings("metadata", ())).shape == (160, 6)


def test_rows_go_by_the_volumes_name():
    dataset, stored, metadata = tables()
    shuffled = [table.sample(frac=1, random_state=1) for table in (stored, metadata)]
    expected = metadata_features(dataset, stored, metadata, SETTINGS)
    np.testing.assert_array_equal(metadata_features(dataset, *shuffled, SETTINGS), expected)


def test_how_columns_are_read_is_learned_from_train_alone():
    dataset, stored, metadata = tables()
    training = (dataset["split"] == "train").to_numpy()
    before = metadata_features(dataset, stored, metadata, SETTINGS)
    metadata.loc[~training, "age"] = "unheard of"
    metadata.loc[~training, "kernel"] = [f"kernel {number}" for number in range((~training).sum())]
    stored.loc[~dataset.set_index("volume")["split"].reindex(stored["volume"]).eq("train").to_numpy(), "shape_z"] = 1e9
    after = metadata_features(dataset, stored, metadata, SETTINGS)
    np.testing.assert_array_equal(after[training], before[training])
    assert np.isfinite(after).all()


HOSTILE = ["", None, "nan", "inf", "-1e308", "1e308", "肺", "063Y", "=1+1", "0", "a\x00b", " ", "1,5", np.nan]


@pytest.mark.parametrize("seed", range(5))
def test_whatever_a_column_holds_becomes_finite_numbers(seed):
    random = np.random.default_rng(seed)
    values = {f"c{k}": random.choice(np.array(HOSTILE[: 3 + 3 * k], object), 60) for k in range(4)}
    frame = pd.DataFrame(values | {"empty": [None] * 60, "large": ["1e308", "5"] * 30, "same": 3.0})
    features = encode(frame, np.arange(60) < 30)
    assert features.shape[0] == 60 and np.isfinite(features).all()


def test_rare_names_count_as_one():
    names = [f"scanner {number}" for number in range(500)]
    assert encode(pd.DataFrame({"scanner": names}), np.ones(500, bool)).shape[1] <= 20
