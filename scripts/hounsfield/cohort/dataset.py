"""The dataset: the manifest's volumes that are in the store, after the last checks before training."""

import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd

from hounsfield.cohort.checks import check_images, check_patients, check_positives, check_share
from hounsfield.cohort.settings import SPLITS, CohortSettings
from hounsfield.errors import TableError
from hounsfield.tables import DATASET_COLUMNS

log = logging.getLogger(__name__)


def build_dataset(
    manifest: pd.DataFrame,
    stored: pd.DataFrame,
    unmatched: pd.DataFrame,
    settings: CohortSettings,
    require_positives: Sequence[str] = SPLITS,
    fold: int | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Tables of the volumes to train on, of those left out (volume, reason, detail), and of counts by split.

    stored: the shards' tables; a volume with a reason was refused. fold: the one to validate on, if there are any.
    Raises TableError if too much was left out, a patient or an image is in two splits, or a label has no positive in
    one of the splits `require_positives`.
    """
    text = stored[["volume", "key", "digest", "reason", "detail"]].fillna("")
    manifest = manifest.assign(split=splits_of_fold(manifest["split"], fold))
    table = manifest.merge(text, on="volume", how="left", validate="one_to_one")
    if table["key"].isna().any():
        raise TableError(f"{table.loc[table['key'].isna(), 'volume'].iloc[0]}: is in no shard; remove cohort/stored")
    refused = table["key"] == ""
    # A volume whose rows were repeated is named among the unmatched, and still takes part.
    lost = unmatched[~unmatched["volume"].isin(manifest["volume"])]
    excluded = pd.concat([lost, table.loc[refused, ["volume", "reason", "detail"]]], ignore_index=True)
    table = table[~refused]
    check_share(excluded, len(table), settings)
    check_patients(table)
    check_images(table)
    check_positives(table, settings.pathologies, require_positives, fold)
    dataset = table[[*DATASET_COLUMNS, *settings.pathologies]].reset_index(drop=True)
    dataset = dataset.astype(dict.fromkeys(settings.pathologies, "Int64"))
    log.info("%d volumes of %d patients; %d left out", len(dataset), dataset["patient"].nunique(), len(excluded))
    return dataset, excluded.sort_values("volume", ignore_index=True), summarize(dataset, settings.pathologies)


def splits_of_fold(parts: pd.Series, fold: int | None) -> pd.Series:
    """Splits where `parts` may name folds: `fold` is the validation split, and the other folds are for training."""
    return parts.where(parts.isin(SPLITS), np.where(parts == str(fold), "val", "train"))


def summarize(dataset: pd.DataFrame, pathologies: Sequence[str]) -> pd.DataFrame:
    """For each split and label: patients, scans, volumes, and positive, negative and unknown scans with prevalence."""
    rows = []
    for split in SPLITS:
        part = dataset[dataset["split"] == split]
        if part.empty:
            continue
        counts = {"patients": part["patient"].nunique(), "scans": part["scan"].nunique(), "volumes": len(part)}
        scans = part.groupby("scan")[list(pathologies)].max()
        for name in pathologies:
            positive, negative = int((scans[name] == 1).sum()), int((scans[name] == 0).sum())
            known = positive + negative
            row = {"split": split, **counts, "label": name, "n_positive": positive, "n_negative": negative}
            row |= {"n_unknown": len(scans) - known, "prevalence": positive / known if known else None}
            rows.append(row)
    return pd.DataFrame(rows)
