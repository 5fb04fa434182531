"""A trained network as it leaves: from HU to probabilities in one module, with what a stranger must know of it."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from hounsfield.errors import ExportError, one_line
from hounsfield.training.checkpoints import load_model
from hounsfield.training.data import to_hu, to_input
from hounsfield.volumes.settings import PreprocessingSettings

INPUT, OUTPUT = "hu", "probability"
POINT = ["scale", "offset", "threshold"]


class ScoringNetwork(nn.Module):
    """HU on the grid of the model's `preprocessing` -> calibrated probabilities; nothing is left to the user.

    Rounding to what the store holds, the windows, the mirror image of `test_time_flip` and the calibration are inside.
    """

    def __init__(self, model: nn.Module, content: Mapping[str, Any], points: pd.DataFrame):
        super().__init__()
        self.model = model
        self.preprocessing = PreprocessingSettings.from_config(content["preprocessing"])
        self.windows = [tuple(window) for window in content["windows"]]
        self.flip = content.get("inference", {}).get("test_time_flip", False)
        self.register_buffer("scale", torch.from_numpy(points["scale"].to_numpy(np.float32, copy=True)))
        self.register_buffer("offset", torch.from_numpy(points["offset"].to_numpy(np.float32, copy=True)))

    def forward(self, hu_B1DHW: torch.Tensor) -> torch.Tensor:
        """Probabilities (B, pathologies) of float32 HU; D, H, W run along z, y, x."""
        stored_BDHW = self.encode(hu_B1DHW).squeeze(1)
        x_BCDHW = to_input(to_hu(stored_BDHW, self.preprocessing), self.windows)
        logits = self.model(x_BCDHW)
        if self.flip:
            logits = (logits + self.model(x_BCDHW.flip(-1))) / 2
        return torch.sigmoid(logits * self.scale + self.offset)

    def encode(self, hu: torch.Tensor) -> torch.Tensor:
        """What `PreprocessingSettings.encode` makes of HU, kept as float32."""
        if self.preprocessing.window:
            low, high = self.preprocessing.window
            hu = (hu - low) * (255 / (high - low))
        limits = np.iinfo(self.preprocessing.dtype)
        return hu.round().clamp(limits.min, limits.max)


@dataclass(frozen=True)
class Trained:
    """model: the architecture as trained, (B, C, D, H, W) to logits. content: of its checkpoint.

    points: scale, offset and threshold, by pathology in the order of the outputs.
    """

    model: nn.Module
    content: Mapping[str, Any]
    points: pd.DataFrame

    @property
    def pathologies(self) -> list[str]:
        """Names of the outputs, in order."""
        return self.content["pathologies"]

    @cached_property
    def preprocessing(self) -> PreprocessingSettings:
        """The grid and type of its volumes."""
        return PreprocessingSettings.from_config(self.content["preprocessing"])

    @cached_property
    def network(self) -> ScoringNetwork:
        """The whole way from HU to probabilities."""
        return ScoringNetwork(self.model, self.content, self.points).eval()

    @cached_property
    def program(self) -> ExportedProgram:
        """`network` as traced by torch.export, for batches of any size. Raises ExportError if it cannot be."""
        sample = torch.zeros(2, 1, *self.preprocessing.shape)
        try:
            with torch.no_grad():
                return torch.export.export(self.network, (sample,), dynamic_shapes=({0: Dim("batch")},))
        except Exception as error:  # its kinds are many and undocumented
            raise ExportError(f"{self.architecture}: torch.export cannot trace it ({one_line(error)})") from error

    @property
    def architecture(self) -> str:
        """Architecture and variant, for messages."""
        return f"{self.content['model']['architecture']} {self.content['model']['variant']}"

    def description(self) -> dict[str, Any]:
        """What travels with every format, in plain values; an absent threshold is None.

        With weights it makes the network again, as a checkpoint's content does.
        """
        return {
            "input": f"{INPUT}: float32 (batch, 1, z, y, x), HU, orientation LPS, on the grid of `preprocessing`",
            "output": f"{OUTPUT}: float32 (batch, pathology), calibrated: sigmoid(scale * logit + offset)",
            "pathologies": list(self.pathologies),
            "operating_points": [
                {"pathology": name} | {key: None if math.isnan(value) else float(value) for key, value in point.items()}
                for name, point in self.points[POINT].to_dict("index").items()
            ],
            "preprocessing": dict(self.content["preprocessing"]),
            "windows": [list(window) for window in self.content["windows"]],
            "inference": {"test_time_flip": bool(self.network.flip)},
            "model": dict(self.content["model"]),
            "epoch": self.content.get("epoch"),
        }


def load_trained(checkpoint: str | os.PathLike, points: pd.DataFrame) -> Trained:
    """A best.pth or final.pth with its operating points (columns scale, offset, threshold, by pathology).

    Raises CheckpointError, or ExportError if a pathology has no operating point.
    """
    model, content = load_model(checkpoint)
    absent = [name for name in content["pathologies"] if name not in points.index]
    if absent:
        raise ExportError(f"{checkpoint}: no operating point of {absent[0]!r}; give the table of this model")
    return Trained(model, content, points.loc[content["pathologies"]])
