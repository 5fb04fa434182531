"""The rows of the label tables, one a volume, and what the metadata tables add to them."""

from collections.abc import Callable

import pandas as pd

from hounsfield.cohort.labels import parse_labels, read_mapping
from hounsfield.cohort.matching import Unmatched
from hounsfield.cohort.settings import CohortSettings, SplitSettings
from hounsfield.cohort.sources import plain_name, read_user_tables
from hounsfield.cohort.spelling import aligned, unified
from hounsfield.errors import ConfigError, TableError


def read_labels(cohort: CohortSettings, split: SplitSettings) -> pd.DataFrame:
    """The label tables' rows: `volume`, `named`, a column a pathology (1, 0 or nan) and those that settings mention.

    Raises TableError or ConfigError.
    """
    mentioned = _mentioned(cohort, split)
    if cohort.label_mapping is None:
        wanted, required, mapping = mentioned, cohort.pathologies, None
    else:
        mapping = read_mapping(cohort.label_mapping)
        wanted, required = (lambda column: mapping.is_source(column) or mentioned(column)), ()
    table = read_user_tables(cohort.labels, cohort.volume_column, wanted, required)
    if table.empty:
        raise TableError(f"{', '.join(cohort.labels)}: no rows; give tables with a row a volume (cohort.labels)")
    table = table.assign(volume=unified(table["volume"], cohort.similar_names, "cohort.labels: the volumes"))
    return parse_labels(table, cohort, mapping)


def join_metadata(
    table: pd.DataFrame, cohort: CohortSettings, split: SplitSettings, unmatched: Unmatched
) -> pd.DataFrame:
    """`table` (a row a volume) with the metadata tables' columns; where both have one, its own cells come first.

    A volume is left out that has two values of one column in the metadata, or another patient, scan, split or measure
    there than in the label tables.
    """
    metadata = read_user_tables(cohort.metadata, cohort.volume_column, _mentioned(cohort, split)).drop(columns="named")
    metadata = _spelled_as(table, metadata, "volume", cohort)
    metadata = metadata[metadata["volume"].isin(table["volume"])]
    patient = cohort.patient_column
    if patient is not None and patient in metadata and patient in table:
        metadata = _spelled_as(table, metadata, patient, cohort)
    metadata, torn = _row_a_volume(metadata)
    unmatched.add(torn, "metadata_conflict", "the metadata tables hold different values for it")
    table = table[~table["volume"].isin(torn)]
    told = metadata.set_index("volume").reindex(table["volume"]).fillna("").set_index(table.index)
    compared: dict[str | None, Callable[[str], float | str]] = dict.fromkeys(
        (cohort.patient_column, cohort.scan_column, split.column), plain_name
    )
    compared |= dict.fromkeys(cohort.measures(), _measure)
    differ = pd.Series(False, index=table.index)
    for column in told:
        theirs, own = told[column], table.get(column, told[column]).fillna("")
        if column in compared:
            differ |= (own != "") & (theirs != "") & (own.map(compared[column]) != theirs.map(compared[column]))
        table = table.assign(**{column: own.where(own != "", theirs)})
    detail = "the label tables and the metadata tables hold different values for it"
    unmatched.add(table.loc[differ, "volume"], "metadata_conflict", detail)
    others = {column: table[column].fillna("") for column in table if column not in cohort.pathologies}
    return table.assign(**others)[~differ]


def check_columns(table: pd.DataFrame, cohort: CohortSettings, split: SplitSettings) -> None:
    """Raise ConfigError if a column that the settings ask for is in no table."""
    usual = CohortSettings.__dataclass_fields__
    asked: dict[str, str | None] = {f"cohort.subgroups.{name}": column for name, column in cohort.subgroups.items()}
    asked |= {"cohort.patient_column": cohort.patient_column, "cohort.scan_column": cohort.scan_column}
    asked |= {"split.column": split.column}
    for key in ("slope_column", "intercept_column", "z_spacing_column", "xy_spacing_column"):
        if getattr(cohort, key) != usual[key].default:
            asked[f"cohort.{key}"] = getattr(cohort, key)
    for key, column in asked.items():
        if column is not None and column not in table:
            raise ConfigError(
                f"config: {key}: no label or metadata table has a column (or the pattern a group) {column!r}"
            )


def _mentioned(cohort: CohortSettings, split: SplitSettings) -> Callable[[str], bool]:
    """A test of whether the settings mention a column: the tables' others need no memory."""
    columns = {cohort.patient_column, cohort.scan_column, split.column, *cohort.measures(), *cohort.subgroups.values()}
    columns |= set(cohort.template_fields())
    return columns.__contains__


def _spelled_as(table: pd.DataFrame, metadata: pd.DataFrame, column: str, cohort: CohortSettings) -> pd.DataFrame:
    """`metadata` with the names of a column spelled as `table` has them."""
    names, known = (rows[column].map(plain_name) for rows in (metadata, table))
    what = f"{', '.join(cohort.metadata)}: the {'volumes' if column == 'volume' else 'patients'}"
    spelled = aligned(names, known, cohort.similar_names, what)
    return metadata.assign(**{column: pd.Series(spelled, metadata.index, dtype=object)})


def _row_a_volume(metadata: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """A row a volume, and the volumes of which several rows hold different values.

    Rows may be of tables of different columns, such as the scanner's and the patient's: empty cells contradict nothing.
    """
    metadata = metadata.drop_duplicates()
    repeated = metadata["volume"].duplicated(keep=False)
    if not repeated.any():
        return metadata, []
    groups = metadata[repeated].where(metadata[repeated] != "").groupby("volume")
    kinds = groups.nunique().max(axis=1)
    torn = kinds.index[kinds > 1].tolist()
    whole = groups.first().reset_index()
    return pd.concat([metadata[~repeated], whole[~whole["volume"].isin(torn)]], ignore_index=True), torn


def _measure(text: str) -> float | str:
    """A number, so that 1.50 and 1.5 are equal; what is none, as it is."""
    try:
        return float(text)
    except ValueError:
        return text.strip()
