"""The checks that a cohort passes before any GPU is used; each stops with one line that says what to do."""

import logging
from collections.abc import Sequence

import pandas as pd

from hounsfield.cohort.settings import CohortSettings
from hounsfield.errors import TableError

log = logging.getLogger(__name__)


def check_share(lost: pd.DataFrame, kept: int, settings: CohortSettings) -> None:
    """Raise TableError if more of the labelled volumes are lost than `max_excluded_fraction`.

    lost: volume, reason, detail. Volumes that were left out on purpose, or never had labels, do not count.
    """
    expected = {"listed", "no_labels", "duplicate_rows"}
    expected |= {"no_volume"} if settings.missing_volumes == "allow" else set()
    lost = lost[~lost["reason"].isin(expected)].drop_duplicates("volume")
    total = kept + len(lost)
    if len(lost) <= settings.max_excluded_fraction * total:
        return
    reasons = ", ".join(f"{count} {reason}" for reason, count in lost["reason"].value_counts().items())
    first = lost.iloc[0]
    raise TableError(
        f"{len(lost)} of {total} volumes ({len(lost) / total:.1%}) are left out: {reasons}; first {first['volume']}: "
        f"{first['detail']}; mend them, or raise cohort.max_excluded_fraction ({settings.max_excluded_fraction:g})"
    )


def check_patients(table: pd.DataFrame) -> None:
    """Raise TableError if a patient is in two splits, or a scan belongs to two patients."""
    for whole, part in (("patient", "split"), ("scan", "patient")):
        pairs = table[[whole, part]].drop_duplicates()
        twice = pairs[pairs[whole].duplicated(keep=False)]
        if len(twice):
            name = twice[whole].iloc[0]
            found = " and ".join(sorted(twice.loc[twice[whole] == name, part])[:2])
            raise TableError(f"{whole} {name} is in the {part}s {found}; correct the table, or cohort.volume_pattern")


def check_images(table: pd.DataFrame) -> None:
    """Raise TableError if one image (`digest`) is in two splits; warn if it is there under two patients."""
    same = table[table["digest"].duplicated(keep=False)]
    for _, group in same.groupby("digest"):
        if group["split"].nunique() > 1:
            pair = group.drop_duplicates("split").iloc[:2]
            names = " and ".join(f"{row.volume} ({row.split})" for row in pair.itertuples())
            raise TableError(f"{names} hold the same image; name one of them in a list of cohort.exclude")
        if group["patient"].nunique() > 1:
            pair = group.drop_duplicates("patient")["volume"].iloc[:2]
            log.warning("%s hold the same image under two patients", " and ".join(pair))


def check_positives(
    table: pd.DataFrame, pathologies: Sequence[str], required: Sequence[str], fold: int | None = None
) -> None:
    """Raise TableError if a label has no positive in one of the splits `required`.

    fold: the one that is the validation split, if there are folds.
    """
    where = "" if fold is None else f", where it is fold {fold}"
    advice = "change split.fractions" if fold is None else "lower split.folds, or change split.fractions"
    for split in required:
        part = table[table["split"] == split]
        if part.empty:
            raise TableError(
                f"the {split} split has no volumes{where}; {advice} or split.values, or take {split} out of "
                "split.require_positives"
            )
        for name in pathologies:
            if not (part[name] == 1).any():
                raise TableError(
                    f"{name} has no positive in the {split} split ({len(part)} volumes){where}; {advice}, "
                    f"drop the label, or take {split} out of split.require_positives"
                )


def check_unseen(stored: pd.DataFrame, internal: pd.DataFrame, internal_stored: pd.DataFrame) -> None:
    """Raise TableError if an image (`digest`) of an external cohort is one that networks were trained or chosen on.

    stored, internal_stored: volume and digest, of the external cohort and of the one they were trained on, both
    preprocessed alike. internal: volume and split. The log names every such image.
    """
    learned = internal.loc[internal["split"].isin(["train", "val"]), ["volume", "split"]]
    learned = learned.merge(internal_stored.loc[internal_stored["digest"] != "", ["volume", "digest"]], on="volume")
    seen = stored[["volume", "digest"]].merge(learned, on="digest", suffixes=("", "_internal"))
    named = [f"{row.volume} is {row.volume_internal} ({row.split})" for row in seen.itertuples()]
    for line in named:
        log.warning("%s", line)
    if named:
        count = seen["volume"].nunique()
        raise TableError(
            f"{count} of {len(stored)} external volumes hold images that the networks were trained or chosen on, such "
            f"as {named[0]}; name them in a list of cohort.exclude"
        )
