"""Settings dataclasses made from blocks of the configuration."""

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any, TypeVar

from hounsfield.errors import ConfigError

Settings = TypeVar("Settings")


def settings_from(kind: type[Settings], block: Mapping[str, Any] | None, where: str) -> Settings:
    """`kind(**block)`, with lists made tuples; `where` names the block in messages, such as "training.loss".

    Raises ConfigError for a key that `kind` does not have, or lacks.
    """
    block = dict(block or {})
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]  # each is a dataclass
    for key in block:
        if key not in fields:
            close = difflib.get_close_matches(str(key), fields, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise ConfigError(f"config: {where}.{key}: unknown key{hint}")
    absent = dataclasses.MISSING
    for name, field in fields.items():
        if name not in block and field.default is absent and field.default_factory is absent:
            raise ConfigError(f"config: {where}.{name}: is required")
    return kind(**{key: _frozen(value) for key, value in block.items()})


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, (list, tuple)) else value
