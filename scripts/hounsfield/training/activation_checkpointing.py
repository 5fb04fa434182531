"""Gradient checkpointing: activations within a block are computed again in the backward pass instead of kept."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from hounsfield.errors import ConfigError
from hounsfield.models.settings import ModelSettings


def checkpoint_activations(model: nn.Module, settings: ModelSettings) -> None:
    """Make each block of the architecture, a module of its `BLOCKS`, keep its input only.

    The kind of torch that is not reentrant: the other gives no gradient where the input needs none, which freezes
    first blocks silently. Raises ConfigError for an architecture that names no blocks.
    """
    kinds = getattr(importlib.import_module(f"hounsfield.models.{settings.architecture}"), "BLOCKS", ())
    blocks = [module for module in model.modules() if isinstance(module, kinds)]
    if not blocks:
        raise ConfigError(f"config: training.gradient_checkpointing: {settings.architecture} names no blocks")
    for block in blocks:
        contexts = partial(_contexts, [module for module in block.modules() if _moves(module)])
        block.forward = partial(checkpoint, block.forward, use_reentrant=False, context_fn=contexts)


def _moves(module: nn.Module) -> bool:
    return isinstance(module, _BatchNorm) and module.track_running_stats


def _contexts(norms: list[_BatchNorm]) -> tuple:
    return nullcontext(), _still(norms)


@contextmanager
def _still(norms: list[_BatchNorm]) -> Iterator[None]:
    """The second forward pass sees the same batch: it must not move the running mean and variance once more."""
    norms = [norm for norm in norms if norm.training]  # those of frozen parts move in neither pass
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            if norm.num_batches_tracked is not None:
                norm.num_batches_tracked.sub_(1)
