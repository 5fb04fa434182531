"""Starting from weights that were trained elsewhere."""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from hounsfield.errors import CheckpointError
from hounsfield.tensors import fault, read_tensors

log = logging.getLogger(__name__)

# Wrappers that training tools put before a name, and keys under which they put the weights.
PREFIXES = ("module.", "_orig_mod.", "model.")
NESTS = ("weights", "state_dict", "model_state_dict", "model")


@dataclass(frozen=True)
class Match:
    """How the tensors of a file fit a model: names on both sides; only in the model; only in the file."""

    matched: list[str]
    missing: list[str]
    unexpected: list[str]


def load_weights(model: nn.Module, path: str | os.PathLike) -> Match:
    """Copy the tensors of `path` whose names and shapes fit into `model`, and log what did not.

    A 2D kernel is inflated to 3D: repeated along z and divided by its depth (Carreira and Zisserman, 2017).
    Raises CheckpointError if the file cannot be read, nothing matches, or what does is not finite.
    """
    given = _tensors(path)
    own = model.state_dict()
    fitting = {}
    for name, tensor in given.items():
        if name in own and (fitted := _fit(tensor, own[name])) is not None:
            if (found := fault(tensor, own[name])) is not None:
                raise CheckpointError(f"{path}: its tensor {name} {found}; give sound weights")
            fitting[name] = fitted
    match = Match(sorted(fitting), sorted(set(own) - set(fitting)), sorted(set(given) - set(fitting)))
    if not any(own[name].ndim > 1 for name in match.matched):
        raise CheckpointError(
            f"{path}: none of its {len(given)} tensors fits this network; check the architecture and the variant"
        )
    model.load_state_dict(fitting, strict=False)
    log.info("%s: %d tensors matched", path, len(match.matched))
    for what, names in (
        ("not in the file, left as initialised", match.missing),
        ("not used", match.unexpected),
    ):
        if names:
            log.info("%s: %d tensors %s: %s", path, len(names), what, ", ".join(names))
    return match


def _tensors(path: str | os.PathLike) -> dict[str, torch.Tensor]:
    content = read_tensors(path, "weights")
    for nest in NESTS:
        if isinstance(content, Mapping) and isinstance(content.get(nest), Mapping):
            content = content[nest]
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path}: holds no weights, but a {type(content).__name__}")
    tensors = {name: value for name, value in content.items() if isinstance(value, torch.Tensor)}
    return {_bare(name): value for name, value in tensors.items() if isinstance(name, str)}


def _bare(name: str) -> str:
    while prefix := next((prefix for prefix in PREFIXES if name.startswith(prefix)), None):
        name = name.removeprefix(prefix)
    return name


def _fit(tensor: torch.Tensor, target: torch.Tensor) -> torch.Tensor | None:
    if tensor.shape == target.shape:
        return tensor
    flat_kernel = tensor.ndim == 4 and target.ndim == 5 and tensor.shape[2:] == target.shape[3:]
    if flat_kernel and tensor.shape[0] == target.shape[0]:
        if tensor.shape[1] != target.shape[1] and target.shape[1] == 1:
            tensor = tensor.sum(1, keepdim=True)  # colour to grey
        if tensor.shape[1] == target.shape[1]:
            return tensor.unsqueeze(2).expand_as(target) / target.shape[2]
    return None
