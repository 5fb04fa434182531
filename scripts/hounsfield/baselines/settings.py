"""What is set beside the networks, to know what their scores are worth."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hounsfield.errors import ConfigError
from hounsfield.settings import settings_from


@dataclass(frozen=True)
class MetadataSettings:
    """columns: names of `cohort.subgroups`, None for all. geometry: whether size and spacing are looked at too."""

    kind: str
    columns: tuple[str, ...] | None = None
    geometry: bool = True


@dataclass(frozen=True)
class ProbeSettings:
    """model: name of the block of `models` whose features are classified.

    trained: as this run trained it, or as its training starts; None: as it starts if it has `weights`, else trained.
    """

    kind: str
    model: str
    trained: bool | None = None


KINDS = {"metadata": MetadataSettings, "linear_probe": ProbeSettings}


def complete_baselines(config: Mapping[str, Any]) -> dict[str, MetadataSettings | ProbeSettings]:
    """The settings by name, with what the rest of the configuration decides filled in.

    Raises ConfigError for a name that a model has, a key of the other kind, or a model or column that there is not.
    """
    found = {}
    for name, block in (config.get("baselines") or {}).items():
        where = f"baselines.{name}"
        if name in config["models"]:
            raise ConfigError(f"config: {where}: a model has this name too; give the baseline another")
        settings: Any = settings_from(KINDS[block["kind"]], block, where)
        complete = _with_columns if block["kind"] == "metadata" else _with_network
        found[name] = complete(settings, config, where)
    return found


def _with_columns(settings: MetadataSettings, config: Mapping[str, Any], where: str) -> MetadataSettings:
    known = config["cohort"].get("subgroups") or {}
    columns = tuple(sorted(known)) if settings.columns is None else settings.columns
    unknown = sorted(set(columns) - set(known))
    if unknown:
        raise ConfigError(f"config: {where}.columns: {unknown[0]!r} is not one of cohort.subgroups")
    if not (columns or settings.geometry):
        raise ConfigError(f"config: {where}: has nothing to look at; name columns, or set geometry: true")
    return MetadataSettings(settings.kind, columns, settings.geometry)


def _with_network(settings: ProbeSettings, config: Mapping[str, Any], where: str) -> ProbeSettings:
    if settings.model not in config["models"]:
        raise ConfigError(
            f"config: {where}.model: {settings.model!r} is not one of {', '.join(sorted(config['models']))}"
        )
    given = settings.trained is not None
    trained = settings.trained if given else not config["models"][settings.model].get("weights")
    return ProbeSettings(settings.kind, settings.model, trained)
