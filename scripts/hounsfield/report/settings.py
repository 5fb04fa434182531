"""What the report shows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hounsfield.settings import settings_from


@dataclass(frozen=True)
class ReportSettings:
    """The `report` block. examples: scans shown for each label and outcome (found, missed, false alarm)."""

    examples: int = 1

    @classmethod
    def from_config(cls, block: Mapping[str, Any]) -> "ReportSettings":
        """Raises ConfigError for an unknown key."""
        return settings_from(cls, block, "report")
