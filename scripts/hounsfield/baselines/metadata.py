"""What can be told without a voxel, from a scan's size, its spacing and what the tables say of patient and scanner."""

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from hounsfield.baselines.settings import MetadataSettings
from hounsfield.metadata import to_numbers

GEOMETRY = [f"{what}_{axis}" for what in ("shape", "spacing") for axis in ("z", "y", "x")]
UNKNOWN = "(unknown)"
# Values of a column of names, such as kernels; the rare ones beyond count as one.
MOST_NAMES = 20
# No measure is larger; sums of squares beyond would overflow.
LARGEST = 1e12


def metadata_features(
    dataset: pd.DataFrame, stored: pd.DataFrame, metadata: pd.DataFrame, settings: MetadataSettings
) -> np.ndarray:
    """(N, F) of the dataset's rows; how a column is read, scaled and filled up is learned from the train split alone.

    stored: the shards' tables, of the geometry before preprocessing. metadata: volume and the subgroup columns.
    """
    table = dataset[["volume"]]
    if settings.geometry:
        table = table.merge(stored[["volume", *GEOMETRY]], on="volume", how="left", validate="one_to_one")
    table = table.merge(metadata[["volume", *(settings.columns or ())]], on="volume", how="left", validate="one_to_one")
    return encode(table.drop(columns="volume"), (dataset["split"] == "train").to_numpy())


def encode(table: pd.DataFrame, training: np.ndarray) -> np.ndarray:
    """(N, F): numbers (and ages) scaled, with a column for where they lack, names one-hot; training: (N,) rows."""
    numbers, names = {}, {}
    for column, values in table.items():
        parsed, known = to_numbers(values), values.notna().to_numpy() & training
        parsed = parsed.where(parsed.abs() < LARGEST)
        if known.any() and parsed[known].notna().all():
            numbers[f"number {column}"] = parsed
        else:
            names[f"name {column}"] = values.astype("string").fillna(UNKNOWN).astype(object)
    frame = pd.DataFrame(numbers | names)
    scaled = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    one_hot = OneHotEncoder(max_categories=MOST_NAMES, handle_unknown="infrequent_if_exist", sparse_output=False)
    encoder = ColumnTransformer([("numbers", scaled, list(numbers)), ("names", one_hot, list(names))])
    return encoder.fit(frame[training]).transform(frame)


def metadata_candidates(seed: int) -> list[ClassifierMixin]:
    """Logistic regressions, the strongest regularisation first, then boosted trees."""
    linear = [LogisticRegression(C=strength, max_iter=5000) for strength in (1e-3, 1e-2, 1e-1, 1.0)]
    common = {"learning_rate": 0.1, "max_leaf_nodes": 8, "early_stopping": False, "random_state": seed}
    return linear + [HistGradientBoostingClassifier(max_iter=rounds, **common) for rounds in (10, 30, 100)]
