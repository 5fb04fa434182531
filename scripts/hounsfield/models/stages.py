"""The parts of a network in order, from the input to the head."""

import importlib
from collections.abc import Sequence
from fnmatch import fnmatchcase
from itertools import accumulate

from torch import nn

from hounsfield.errors import ConfigError
from hounsfield.models.settings import ModelSettings


def network_stages(model: nn.Module, settings: ModelSettings, key: str) -> list[tuple[str, ...]]:
    """Names of the modules and parameters of each stage; the last stage is the head, all others the backbone.

    Raises ConfigError, on behalf of the configuration's `key`, for an architecture that names no stages.
    """
    module = importlib.import_module(f"hounsfield.models.{settings.architecture}")
    if not hasattr(module, "stages"):
        raise ConfigError(f"config: {key}: {settings.architecture} names no stages, so its head is not known")
    return module.stages(model)


def features_layer(model: nn.Module, settings: ModelSettings, key: str) -> nn.Linear:
    """The head's first linear layer: what goes into it, (B, F) or (B, slices, F), are the network's pooled features.

    Raises ConfigError as `network_stages` does.
    """
    head = network_stages(model, settings, key)[-1]
    layers = (module for name, module in model.named_modules() if is_within(name, head))
    return next(module for module in layers if isinstance(module, nn.Linear))


def is_within(name: str, patterns: Sequence[str]) -> bool:
    """Whether a module or parameter is what one of the patterns names, or part of it; * and [0-3] as in a shell."""
    places = accumulate(name.split("."), "{}.{}".format)
    return any(fnmatchcase(place, pattern) for place in places for pattern in patterns)
