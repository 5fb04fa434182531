"""How a cohort's tables and files are to be read, and its patients split."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from string import Formatter
from typing import Any

from hounsfield.errors import ConfigError
from hounsfield.settings import settings_from

SPLITS = ("train", "val", "test")
# train_12_a_1: patient train_12 (the number alone is another person in valid), scan train_12_a, reconstruction 1.
CT_RATE_NAMES = r"(?P<scan>(?P<patient>[a-z]+_\d+)_[a-z]+)_(?P<recon>\d+)"
# Columns of the workflow's own tables, which a pathology must not be named like.
SPACING = ("spacing_z", "spacing_y", "spacing_x")
OWN_COLUMNS: tuple[str, ...] = (
    "volume",
    "path",
    "scan",
    "patient",
    "split",
    "shard",
    "stamp",
    "slope",
    "intercept",
    *SPACING,
    "key",
)
OWN_COLUMNS += ("named", "reason", "detail", "digest", "hu")
POLICIES = {
    "duplicate_rows": ("stop", "exclude"),
    "label_conflicts": ("stop", "exclude"),
    "missing_labels": ("stop", "exclude"),
    "missing_volumes": ("stop", "exclude", "allow"),
    "similar_names": ("stop", "same", "different"),
    "hu": ("auto", "header", "table"),
}
MEANINGS = ("mask", "error", 0, 1)


@dataclass(frozen=True)
class CohortSettings:
    """The `cohort` block; config/README.md explains every key."""

    volumes: str
    labels: tuple[str, ...]
    pathologies: tuple[str, ...]
    metadata: tuple[str, ...] = ()
    volume_column: str = "VolumeName"
    path: str | None = None
    volume_pattern: str | None = CT_RATE_NAMES
    patient_column: str | None = None
    scan_column: str | None = None
    slope_column: str = "RescaleSlope"
    intercept_column: str = "RescaleIntercept"
    z_spacing_column: str = "ZSpacing"
    xy_spacing_column: str = "XYSpacing"
    uncertain: Mapping[str, str | int] = field(default_factory=lambda: {"": "mask", "-1": "mask"})
    label_mapping: str | None = None
    hu: str = "auto"
    exclude: tuple[str, ...] = ()
    subgroups: Mapping[str, str] = field(default_factory=dict)
    duplicate_rows: str = "exclude"
    label_conflicts: str = "stop"
    missing_labels: str = "exclude"
    missing_volumes: str = "exclude"
    similar_names: str = "stop"
    max_excluded_fraction: float = 0.05
    shards: int = 16

    @classmethod
    def from_config(cls, block: Mapping[str, Any]) -> "CohortSettings":
        """Raises ConfigError for an unknown key or value, or if nothing tells a volume's patient."""
        settings = settings_from(cls, block, "cohort")
        for name in ("labels", "metadata", "pathologies", "exclude"):
            if isinstance(getattr(settings, name), str):
                raise ConfigError(f"config: cohort.{name}: is one text; write a list, [{getattr(settings, name)}]")
        for name, allowed in POLICIES.items():
            if getattr(settings, name) not in allowed:
                raise ConfigError(
                    f"config: cohort.{name}: {getattr(settings, name)!r} is not one of {_listed(allowed)}"
                )
        for value, meaning in settings.uncertain.items():
            if meaning not in MEANINGS:
                raise ConfigError(f"config: cohort.uncertain.{value}: {meaning!r} is not one of {_listed(MEANINGS)}")
        taken = sorted(set(settings.pathologies) & set(OWN_COLUMNS))
        if taken:
            raise ConfigError(f"config: cohort.pathologies: {taken[0]!r} is a column of the workflow's own tables")
        used: dict[str, str | None] = {
            "volume_column": settings.volume_column,
            "patient_column": settings.patient_column,
        }
        used |= {"scan_column": settings.scan_column} | {f"subgroups.{k}": v for k, v in settings.subgroups.items()}
        used |= {f"volume_pattern (?P<{name}>)": name for name in settings.pattern_groups()}
        for key, column in used.items():
            if column in settings.pathologies:
                raise ConfigError(f"config: cohort.pathologies: {column!r} is the column of cohort.{key}, and no label")
        if len(set(settings.pathologies)) < len(settings.pathologies):
            raise ConfigError("config: cohort.pathologies: a label is named twice")
        settings.template_fields()
        if settings.patient_column is None and "patient" not in settings.pattern_groups():
            raise ConfigError("config: cohort: give patient_column, or a volume_pattern with a group named patient")
        return settings

    def pattern_groups(self) -> tuple[str, ...]:
        """Names of the groups of `volume_pattern`. Raises ConfigError if it is no regular expression."""
        if self.volume_pattern is None:
            return ()
        try:
            return tuple(re.compile(self.volume_pattern).groupindex)
        except re.error as error:
            raise ConfigError(f"config: cohort.volume_pattern: {self.volume_pattern!r}: {error}") from error

    def measures(self) -> tuple[str, ...]:
        """Columns that tell of a volume's header: rescale and spacing."""
        return self.slope_column, self.intercept_column, self.z_spacing_column, self.xy_spacing_column

    def template_fields(self) -> tuple[str, ...]:
        """Names in the braces of `path`. Raises ConfigError if it is no template."""
        try:
            return tuple(name for _, name, _, _ in Formatter().parse(self.path or "") if name is not None)
        except ValueError as error:
            raise ConfigError(f"config: cohort.path: {self.path!r}: {error}") from error


@dataclass(frozen=True)
class SplitSettings:
    """The `split` block.

    fractions: of the patients, where splits are made. column: of a label or metadata table (or a group of the volume
    pattern) that gives them, and `values` what its values mean; a list of splits divides those patients by fractions.
    folds: k parts of the patients outside the test split, each of which is the validation split of one training.
    fold: the only one of them to train with; None takes all.
    file: table that remembers the splits that were made; None keeps one beside the manifest.
    require_positives: splits that need a positive of every label.
    """

    fractions: Mapping[str, float] = field(default_factory=lambda: {"train": 0.7, "val": 0.1, "test": 0.2})
    column: str | None = None
    values: Mapping[str, Any] = field(default_factory=lambda: {split: split for split in SPLITS})
    folds: int | None = None
    fold: int | None = None
    file: str | None = None
    require_positives: tuple[str, ...] = SPLITS

    @classmethod
    def from_config(cls, block: Mapping[str, Any]) -> "SplitSettings":
        """Raises ConfigError for an unknown key or split, fractions that do not sum to 1, or a fold there is not."""
        settings = settings_from(cls, block, "split")
        meant = [part for value in settings.values.values() for part in _as_tuple(value)]
        for name, splits in (
            ("fractions", settings.fractions),
            ("values", meant),
            ("require_positives", settings.require_positives),
        ):
            unknown = sorted(map(str, set(splits) - set(SPLITS)))
            if unknown:
                raise ConfigError(f"config: split.{name}: {unknown[0]!r} is not one of {_listed(SPLITS)}")
        shares = list(settings.fractions.values())
        if abs(sum(shares) - 1) > 1e-6 or min(shares) < 0:
            raise ConfigError(f"config: split.fractions: {dict(settings.fractions)} do not sum to 1")
        if settings.folds is not None and settings.folds < 2:
            raise ConfigError(f"config: split.folds: {settings.folds} is no number of parts; give 2 or more, or null")
        if settings.fold is not None and settings.folds is None:
            raise ConfigError(f"config: split.fold: {settings.fold} is a fold of none; give split.folds too")
        if settings.fold is not None and settings.folds is not None and not 0 <= settings.fold < settings.folds:
            raise ConfigError(f"config: split.fold: {settings.fold} is not one of 0 to {settings.folds - 1}")
        return settings

    def validation_folds(self) -> tuple[int | None, ...]:
        """The fold that is the validation split, for each training of a model; one None where there are no folds."""
        if self.folds is None:
            return (None,)
        return tuple(range(self.folds)) if self.fold is None else (self.fold,)


def training_runs(config: Mapping[str, Any]) -> dict[str, int | None]:
    """Folders below results/ with a dataset and networks of their own, each with the fold that is its validation split.

    The first is the run's own; the others are those of further folds.
    """
    first, *others = SplitSettings.from_config(config["split"]).validation_folds()
    name = config["name"]
    return {name: first} | {f"{name}/folds/{fold}": fold for fold in others}


def _as_tuple(value: Any) -> tuple:
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


def _listed(values: Any) -> str:
    return ", ".join(map(str, values))
