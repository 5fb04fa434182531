"""What the columns of a table are: labels, patient, scan, split, spacing, subgroups."""

import re
from collections.abc import Mapping, Sequence

import pandas as pd

from hounsfield.cohort.settings import SPLITS

# Words of label tables, and what they mean; the workflow itself takes 0 and 1 alone.
YES = ("1", "1.0", "yes", "y", "true", "t", "positive", "pos", "present", "ja", "j", "wahr", "oui", "si", "sí", "x")
NO = ("0", "0.0", "no", "n", "false", "f", "negative", "neg", "absent", "nein", "falsch", "non")
UNKNOWN: tuple[str, ...] = (
    "",
    "-1",
    "-1.0",
    "na",
    "n/a",
    "nan",
    "none",
    "null",
    "#n/a",
    "?",
    "unknown",
    "uncertain",
    "unclear",
    "unk",
)
UNKNOWN += ("unklar", "unbekannt", "inconnu", "not mentioned", "not assessed", "-")
# Columns of two kinds that are no finding.
NO_FINDING = re.compile(r"(?i)(sex|gender|geschlecht|split|fold|subset|contrast|kontrast|recon|index|unnamed).*")
PATIENT = re.compile(
    r"(?i)(anonymi[sz]ed)?[\s_-]*(patient|subject|participant|proband|person|mrn|pid|pat)([\s._-]*(id|nr|no|nummer|number|key|deid|name|kennung))?(_deid)?"
)
SCAN = re.compile(
    r"(?i)(scan|study|stud(y|ie)?|accession|exam|examination|untersuchung|session|ses)([\s._-]*(id|nr|no|nummer|number|uid))?"
)
SPLIT = re.compile(r"(?i)(data[\s_-]*)?(split|subset|set|partition|fold|phase|aufteilung)")
SPLIT_WORDS = {
    "train": ("train", "training", "trn", "tr", "development"),
    "val": ("val", "valid", "validation", "dev", "tuning", "tune"),
    "test": ("test", "testing", "tst", "ts", "te", "holdout", "held-out"),
}
# The workflow's key -> names under which the column is found.
MEASURES = {
    "slope_column": r"(?i)rescale[\s_-]*slope",
    "intercept_column": r"(?i)rescale[\s_-]*intercept",
    "z_spacing_column": r"(?i)((z|slice)[\s_-]*spacing|spacing[\s_-]*(between[\s_-]*slices|z)|schichtabstand)",
    "xy_spacing_column": r"(?i)(xy[\s_-]*spacing|pixel[\s_-]*spacing|in[\s_-]*plane[\s_-]*spacing|pixelabstand)",
}
SUBGROUPS = {
    "sex": r"(?i)(patient[\s_-]*)?(sex|gender|geschlecht)",
    "age": r"(?i)(patient[\s_'s-]*)?(age|alter)([\s_-]*(years|at[\s_-]*scan|jahre))?",
    "manufacturer": r"(?i)(manufacturer|vendor|hersteller)",
    "scanner": r"(?i)(manufacturer[\s_-]*model([\s_-]*name)?|scanner|ger[aä]t)",
    "kernel": r"(?i)((convolution|recon(struction)?)[\s_-]*kernel|kernel)",
    "site": r"(?i)(site|cent(er|re)|hospital|institution([\s_-]*name)?|standort|klinik)",
    "slice_spacing": r"(?i)(z[\s_-]*spacing|slice[\s_-]*thickness|schichtdicke)",
}
FEWEST_OF_A_KIND = 1


def label_columns(table: pd.DataFrame, taken: Sequence[str] = ()) -> dict[str, tuple[int, int, int]]:
    """Columns of findings, each with its numbers of present, absent and unknown; `taken` are others'.

    A finding has at least one present and one absent, and no word that is neither yes, no nor unknown.
    """
    found = {}
    for column in table:
        if column in taken or not column.strip() or NO_FINDING.fullmatch(column.strip()):
            continue
        counts = table[column].str.strip().str.lower().value_counts()
        if not set(counts.index) <= {*YES, *NO, *UNKNOWN}:
            continue
        present, absent, unknown = (int(counts.reindex(words).sum()) for words in (YES, NO, UNKNOWN))
        if present >= FEWEST_OF_A_KIND and absent >= FEWEST_OF_A_KIND:
            found[column] = (present, absent, unknown)
    return found


def label_words(table: pd.DataFrame, columns: Sequence[str]) -> dict[str, str | int]:
    """What cohort.uncertain has to say: each word of the label columns but 0 and 1, and its meaning."""
    words = sorted({word for column in columns for word in table[column].str.strip().str.lower().unique()})
    meanings: dict[str, str | int] = {}
    for word in words:
        if word in ("0", "1", "0.0", "1.0"):
            continue
        meanings[word] = 1 if word in YES else 0 if word in NO else "mask"
    return meanings


def patient_column(table: pd.DataFrame, volumes: pd.Series) -> str | None:
    """The column whose name says patient, and whose values never change within a volume."""
    return _grouping(table, volumes, PATIENT)


def scan_column(table: pd.DataFrame, volumes: pd.Series) -> str | None:
    """The column whose name says scan or study, and which groups volumes; `table` is without the patient's column."""
    found = _grouping(table, volumes, SCAN)
    return found if found is not None and table[found].nunique() < volumes.nunique() else None


def split_column(table: pd.DataFrame) -> tuple[str, dict[str, str | list[str]]] | None:
    """The column that gives the splits, and what its values mean; where one is not given, a part of train is it."""
    for column in table:
        values = sorted(value for value in table[column].unique() if value.strip())
        meant = {value: split for value in values for split in SPLITS if value.strip().lower() in SPLIT_WORDS[split]}
        named = SPLIT.fullmatch(column.strip()) is not None
        if len(meant) != len(values) or not meant or (len(set(meant.values())) < 2 and not named):
            continue
        return column, _complete(meant)
    return None


def measure_columns(columns: Sequence[str]) -> dict[str, str]:
    """Keys of the cohort block for rescale and spacing, where a column has such a name."""
    return _by_name(columns, MEASURES)


def subgroup_columns(columns: Sequence[str], taken: Sequence[str]) -> dict[str, str]:
    """Names of subgroups and their columns."""
    return _by_name([column for column in columns if column not in taken], SUBGROUPS)


def _grouping(table: pd.DataFrame, volumes: pd.Series, names: re.Pattern[str]) -> str | None:
    for column in table:
        complete = names.fullmatch(column.strip()) and (table[column].str.strip() != "").all()
        if complete and table[column].groupby(volumes.to_numpy()).nunique().max() == 1:
            return column
    return None


def _complete(meant: Mapping[str, str]) -> dict[str, str | list[str]]:
    """Without a validation (or test) value, patients of train are dealt out to that split too."""
    lacking = [split for split in ("val", "test") if split not in meant.values()]
    return {value: ["train", *lacking] if split == "train" and lacking else split for value, split in meant.items()}


def _by_name(columns: Sequence[str], patterns: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for key, pattern in patterns.items():
        column = next((name for name in columns if re.fullmatch(pattern, name.strip())), None)
        if column is not None:
            found[key] = column
    return found
