"""A torch.export program: runs wherever PyTorch does, without this package or MONAI."""

import json
from pathlib import Path

import numpy as np
import torch

from hounsfield.exports.check import Check
from hounsfield.exports.trained import Trained
from hounsfield.files import atomic_write

NAME = "model.pt2"
TOLERANCE = 1e-5  # of a probability


def export(trained: Trained, folder: Path, check: Check) -> np.ndarray:
    """Write model.pt2, and return its scores (N, P). Raises ExportError if the architecture cannot be traced."""
    path = folder / NAME
    write_program(trained, path)
    with open(path, "rb") as file:
        network = torch.export.load(file).module()
    with torch.inference_mode():
        return check.score(trained, lambda hu: network(torch.from_numpy(hu)).numpy())


def write_program(trained: Trained, path: Path) -> None:
    """The traced network, with its description as the extra file description.json. Raises ExportError or OSError."""
    extra = {"description.json": json.dumps(trained.description(), indent=2)}
    with atomic_write(path) as partial, open(partial, "wb") as file:
        torch.export.save(trained.program, file, extra_files=extra)
