"""The gate before training: what is left, whether its splits can be trusted, and what was left out."""

import logging

import pandas as pd

from hounsfield.cohort.settings import SPLITS, CohortSettings
from hounsfield.errors import TableError

log = logging.getLogger(__name__)


def build_dataset(
    manifest: pd.DataFrame,
    stored: pd.DataFrame,
    unmatched: pd.DataFrame,
    settings: CohortSettings,
    require_positives: tuple[str, ...] = SPLITS,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Tables of the volumes to train on, of those left out (volume, reason, detail), and of counts by split.

    stored: the shards' tables; a volume with a reason was refused. Raises TableError if too much was left out, a
    patient or an image is in two splits, or a label has no positive in one of the splits `require_positives`.
    """
    table = manifest.merge(stored[["volume", "key", "digest", "reason", "detail"]], on="volume", how="left")
    if table["key"].isna().any():
        raise TableError(f"{table.loc[table['key'].isna(), 'volume'].iloc[0]}: is in no shard; remove cohort/stored")
    refused = table["key"] == ""
    excluded = pd.concat([unmatched, table.loc[refused, ["volume", "reason", "detail"]]], ignore_index=True)
    _check_share(excluded, len(manifest), settings.max_excluded_fraction)
    table = table[~refused]
    _check_patients(table)
    _check_images(table)
    _check_positives(table, settings, require_positives)
    dataset = table[["volume", "scan", "patient", "split", "key", *settings.pathologies]].reset_index(drop=True)
    log.info("%d volumes of %d patients; %d left out", len(dataset), dataset["patient"].nunique(), len(excluded))
    return dataset, excluded.sort_values("volume", ignore_index=True), summarize(dataset, settings.pathologies)


def summarize(dataset: pd.DataFrame, pathologies: tuple[str, ...]) -> pd.DataFrame:
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


def _check_share(excluded: pd.DataFrame, kept: int, most: float) -> None:
    left_out = excluded[~excluded["reason"].isin(["listed", "no_labels"])]  # left out on purpose, or never asked for
    total = kept + int((left_out["reason"] == "no_volume").sum()) + int((left_out["reason"] == "label_conflict").sum())
    share = len(left_out) / max(1, total)
    if share > most:
        reasons = ", ".join(f"{count} {reason}" for reason, count in left_out["reason"].value_counts().items())
        first = left_out.iloc[0]
        raise TableError(
            f"{len(left_out)} of {total} volumes ({share:.1%}) are left out: {reasons}; first {first['volume']}: "
            f"{first['detail']}; mend them, or raise cohort.max_excluded_fraction ({most:g})"
        )


def _check_patients(table: pd.DataFrame) -> None:
    splits = table.groupby("patient")["split"].unique()
    crossing = splits[splits.map(len) > 1]
    if len(crossing):
        raise TableError(
            f"patient {crossing.index[0]} is in the splits {' and '.join(crossing.iloc[0])}; mend the table"
        )


def _check_images(table: pd.DataFrame) -> None:
    same = table[table["digest"].duplicated(keep=False)]
    for _, group in same.groupby("digest"):
        if group["split"].nunique() > 1:
            pair = group.drop_duplicates("split").iloc[:2]
            names = " and ".join(f"{row.volume} ({row.split})" for row in pair.itertuples())
            raise TableError(f"{names} hold the same image; name one in a list of cohort.exclude")
        if group["patient"].nunique() > 1:
            names = " and ".join(group["volume"].iloc[:2])
            log.warning("%s hold the same image under two patients", names)


def _check_positives(table: pd.DataFrame, settings: CohortSettings, require_positives: tuple[str, ...]) -> None:
    for split in require_positives:
        part = table[table["split"] == split]
        for name in settings.pathologies:
            if not (part[name] == 1).any():
                raise TableError(
                    f"{name} has no positive in the {split} split ({len(part)} volumes); change split.fractions, drop "
                    "the label, or take the split out of split.require_positives"
                )
