"""What the optimizer does with which parameters: learning rates over time and by stage, weight decay, frozen parts."""

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from hounsfield.errors import ConfigError
from hounsfield.models.settings import ModelSettings
from hounsfield.models.stages import is_within, network_stages
from hounsfield.training.settings import TrainingSettings


def learning_rate(step: int, total_steps: int, warmup_steps: int, peak: float, floor: float = 0.01) -> float:
    """Linear warm-up to `peak`, then half a cosine down to `floor` times it (Loshchilov and Hutter, 2017)."""
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    progress = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
    return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress)))


log = logging.getLogger(__name__)

BACKBONE = "backbone"


def freeze(model: nn.Module, settings: ModelSettings, frozen: str | Sequence[str] | None) -> list[nn.Module]:
    """Take the gradients from the frozen parts; returns their modules, which training keeps in evaluation mode.

    frozen: "backbone" (all but the head), or names of modules and parameters, with the shell's wildcards.
    Raises ConfigError for a name that the network does not have, or if nothing is left to learn.
    """
    if frozen is None:
        return []
    parameters = dict(model.named_parameters())
    if frozen == BACKBONE:
        names = [name for stage in network_stages(model, settings, "training.freeze")[:-1] for name in stage]
    else:
        names = list(frozen)
        unknown = [name for name in names if not any(is_within(each, [name]) for each in parameters)]
        if unknown:
            parts = ", ".join(dict.fromkeys(each.split(".")[0] for each in parameters))
            raise ConfigError(f"config: training.freeze: nothing named {unknown[0]!r} learns; the network has {parts}")
    still = [parameter.requires_grad_(False) for name, parameter in parameters.items() if is_within(name, names)]
    if len(still) == len(parameters):
        raise ConfigError("config: training.freeze: nothing is left to learn; name fewer parts")
    log.info("%d of %d tensors are frozen", len(still), len(parameters))
    return [module for name, module in model.named_modules() if is_within(name, names)]


def rate_shares(model: nn.Module, settings: ModelSettings, layer_decay: float | None) -> dict[str, float]:
    """Each parameter's share of the learning rate: layer_decay ** k, k stages below the head (1 without a decay).

    As ELECTRA (Clark et al., 2020) and BEiT (Bao et al., 2022) are fine-tuned: what the first stages have learned
    elsewhere holds for most images. Raises ConfigError for an architecture that names no stages.
    """
    names = [name for name, _ in model.named_parameters()]
    if layer_decay is None:
        return dict.fromkeys(names, 1.0)
    from_head = network_stages(model, settings, "training.layer_decay")[::-1]
    below = {name: next(k for k, stage in enumerate(from_head) if is_within(name, stage)) for name in names}
    return {name: layer_decay**k for name, k in below.items()}


def parameter_groups(model: nn.Module, settings: TrainingSettings, shares: Mapping[str, float]) -> list[dict[str, Any]]:
    """The parameters that learn, by their share of the learning rate (`share`) and by weight decay.

    Weight decay for kernels and matrices only: a norm or a bias pulled to zero gains nothing.
    """
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((shares[name], parameter.ndim > 1), []).append(parameter)
    return [
        {"params": parameters, "weight_decay": settings.weight_decay if matrices else 0.0, "share": share}
        for (share, matrices), parameters in groups.items()
    ]
