"""Weights as safetensors, whose metadata say all that makes them a network again."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from hounsfield.errors import CheckpointError, ExportError, one_line
from hounsfield.exports.check import Check
from hounsfield.exports.trained import ScoringNetwork, Trained
from hounsfield.files import atomic_write
from hounsfield.models.create import create_model
from hounsfield.models.settings import ModelSettings
from hounsfield.settings import settings_from

NAME = "model.safetensors"
TOLERANCE = 1e-5  # of a probability; the weights themselves must have the same bits


def export(trained: Trained, folder: Path, check: Check) -> np.ndarray:
    """Write model.safetensors, and return the scores (N, P) of the network made of that file alone.

    Raises ExportError if a tensor comes back with other bits.
    """
    path = folder / NAME
    # Cloned, as the format refuses tensors that share memory.
    tensors = {name: tensor.detach().clone().contiguous() for name, tensor in trained.model.state_dict().items()}
    texts = {name: json.dumps(value) for name, value in trained.description().items()}
    with atomic_write(path) as partial:
        save_file(tensors, partial, metadata={"format": "pt", **texts})
    model, description = load_safetensors(path)
    for name, tensor in model.state_dict().items():
        if not torch.equal(tensor, tensors[name]):
            raise ExportError(f"{path}: {name} came back with other values; check the disk")
    network = ScoringNetwork(model, description, trained.points).eval()
    with torch.inference_mode():
        return check.score(trained, lambda hu: network(torch.from_numpy(hu)).numpy())


def load_safetensors(path: str | os.PathLike) -> tuple[nn.Module, dict[str, Any]]:
    """The network of a model.safetensors, in evaluation mode, and its description. Raises CheckpointError."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
            texts = {name: text for name, text in file.metadata().items() if name != "format"}
        description = {name: json.loads(text) for name, text in texts.items()}
        settings = settings_from(ModelSettings, description["model"] | {"weights": None}, "model")
        model = create_model(settings, len(description["pathologies"]))
        model.load_state_dict(tensors)
    except (OSError, SafetensorError, ValueError, KeyError, AttributeError, RuntimeError) as error:
        raise CheckpointError(f"{path}: is no export of this package ({one_line(error)})") from error
    return model.eval(), description
