"""What the report shows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hounsfield.errors import ConfigError
from hounsfield.settings import settings_from


@dataclass(frozen=True)
class ReportSettings:
    """The `report` block. max_rows: rows of the longest tables on the page."""

    max_rows: int = 200

    @classmethod
    def from_config(cls, block: Mapping[str, Any]) -> "ReportSettings":
        """Raises ConfigError for an unknown key, or a count below 1."""
        settings = settings_from(cls, block, "report")
        if settings.max_rows < 1:
            raise ConfigError("config: report.max_rows: must be 1 or more")
        return settings
