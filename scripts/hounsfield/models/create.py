"""Networks by name."""

import importlib
import pkgutil

from torch import nn

import hounsfield.models
from hounsfield.errors import ConfigError
from hounsfield.models.settings import ModelSettings
from hounsfield.models.weights import load_weights

HELPERS = {"create", "settings", "stages", "weights"}


def architectures() -> list[str]:
    """Names of the architectures: the modules beside this one."""
    found = {module.name for module in pkgutil.iter_modules(hounsfield.models.__path__)}
    return sorted(found - HELPERS)


def create_model(settings: ModelSettings, n_pathologies: int) -> nn.Module:
    """A network from (B, C, D, H, W) to (B, n_pathologies) logits.

    The module is looked up by name, so that a change to one architecture's file concerns that architecture alone.
    Raises ConfigError for an unknown architecture, variant or option, or weights that do not fit.
    """
    if settings.architecture not in architectures():
        known = ", ".join(architectures())
        raise ConfigError(f"config: models: architecture {settings.architecture!r} is not one of {known}")
    module = importlib.import_module(f"hounsfield.models.{settings.architecture}")
    variants = getattr(module, "VARIANTS", None)
    if variants is not None and settings.variant not in variants:
        raise ConfigError(
            f"config: models: {settings.architecture} has no variant {settings.variant!r}; it has {', '.join(variants)}"
        )
    try:
        model = module.build(settings, n_pathologies)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"config: models: {settings.architecture} {settings.variant}: {error}") from error
    if settings.weights:
        load_weights(model, settings.weights)
    return model
