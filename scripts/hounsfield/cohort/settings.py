"""How a cohort's tables and files are to be read, and its patients split."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hounsfield.errors import ConfigError
from hounsfield.settings import settings_from

SPLITS = ("train", "val", "test")
# train_12_a_1: patient train_12 (the number alone is another person in valid), scan train_12_a, reconstruction 1.
CT_RATE_NAMES = r"(?P<scan>(?P<patient>[a-z]+_\d+)_[a-z]+)_(?P<recon>\d+)"


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
    max_excluded_fraction: float = 0.05
    shards: int = 16

    @classmethod
    def from_config(cls, block: Mapping[str, Any]) -> "CohortSettings":
        """Raises ConfigError for an unknown key, or if nothing tells a volume's patient."""
        settings = settings_from(cls, block, "cohort")
        if settings.volume_pattern is None and settings.patient_column is None:
            raise ConfigError("config: cohort: give patient_column, or a volume_pattern with a group named patient")
        return settings


@dataclass(frozen=True)
class SplitSettings:
    """The `split` block.

    fractions: of the patients, where splits are made. column: of a label or metadata table (or a group of the volume
    pattern) that gives them, and `values` what its values mean; a list of splits divides those patients by fractions.
    folds, fold: k parts of the patients outside the test split, and which of them is the validation split.
    require_positives: splits that need a positive of every label.
    """

    fractions: Mapping[str, float] = field(default_factory=lambda: {"train": 0.7, "val": 0.1, "test": 0.2})
    column: str | None = None
    values: Mapping[str, Any] = field(default_factory=lambda: {split: split for split in SPLITS})
    folds: int | None = None
    fold: int = 0
    require_positives: tuple[str, ...] = SPLITS

    @classmethod
    def from_config(cls, block: Mapping[str, Any]) -> "SplitSettings":
        """Raises ConfigError for an unknown key, fractions that do not sum to 1, or a fold that there is not."""
        settings = settings_from(cls, block, "split")
        if abs(sum(settings.fractions.values()) - 1) > 1e-6:
            raise ConfigError(f"config: split.fractions: {dict(settings.fractions)} do not sum to 1")
        if settings.folds is not None and not 0 <= settings.fold < settings.folds:
            raise ConfigError(f"config: split.fold: {settings.fold} is not one of 0 to {settings.folds - 1}")
        return settings
