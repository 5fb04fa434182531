"""Checkpoints: written whole or not at all, read without running code."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hounsfield.errors import CheckpointError, ConfigError, one_line
from hounsfield.files import atomic_write
from hounsfield.models.create import create_model
from hounsfield.models.settings import ModelSettings
from hounsfield.settings import settings_from
from hounsfield.tensors import fault, read_tensors
from hounsfield.training.content import check_content

log = logging.getLogger(__name__)

FORMAT = 1
# What the settings of a stranger may make of MONAI's constructors, whose errors are many and undocumented.
UNMADE: tuple[type[BaseException], ...] = (
    ConfigError,
    RuntimeError,
    ArithmeticError,
    LookupError,
    AttributeError,
    AssertionError,
    ImportError,
)
UNMADE += (TypeError, ValueError, NotImplementedError, MemoryError, OSError)
LAST, PREVIOUS = "last.pth", "previous.pth"


def save_checkpoint(content: dict[str, Any], path: str | os.PathLike) -> None:
    """Write `content` atomically. Raises OSError with the earlier file untouched."""
    with atomic_write(path) as partial, open(partial, "wb") as file:
        try:
            torch.save({"format": FORMAT} | content, file)
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None  # torch puts a sentence about positions in place of "disk full"
            raise


def load_checkpoint(path: str | os.PathLike) -> dict[str, Any]:
    """Read a checkpoint onto the CPU, as data only. Raises CheckpointError if it is damaged or of another kind."""
    content = read_tensors(path, "a checkpoint")
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"{path}: is not a checkpoint of this version of Hounsfield (format {FORMAT})")
    return content


def save_last(content: dict[str, Any], directory: str | os.PathLike) -> None:
    """Write last.pth, keeping the one before as previous.pth, in case the disk damages the newer."""
    last = Path(directory) / LAST
    fresh = last.with_name("next.pth")
    save_checkpoint(content, fresh)
    if last.exists():
        os.replace(last, last.with_name(PREVIOUS))
    os.replace(fresh, last)


def find_latest_checkpoint(directory: str | os.PathLike) -> dict[str, Any] | None:
    """Content of the newest sound checkpoint in `directory`, None if there is none.

    A damaged one is named in the log and set aside under another name, never overwritten.
    """
    for name in (LAST, PREVIOUS):
        path = Path(directory) / name
        if path.exists():
            try:
                return load_checkpoint(path)
            except CheckpointError as error:
                aside = path.with_name(f"damaged-{name}")
                log.warning("%s; set aside as %s", error, aside.name)
                os.replace(path, aside)
    return None


def load_trained_content(path: str | os.PathLike) -> dict[str, Any]:
    """Content of a best.pth or final.pth, each field looked at. Raises CheckpointError."""
    content = load_checkpoint(path)
    check_content(content, path)
    return content


def load_model(path: str | os.PathLike) -> tuple[nn.Module, dict[str, Any]]:
    """The network of a best.pth or final.pth, in evaluation mode on the CPU, and the checkpoint's content.

    Nothing is fetched from elsewhere, and no memory taken before names and shapes are known to fit. Raises
    CheckpointError, also for weights that are not finite.
    """
    content = load_trained_content(path)
    settings = settings_from(ModelSettings, content["model"] | {"weights": None}, "model")
    try:
        planned = _planned(settings, len(content["pathologies"]))
        _check_weights(content["weights"], planned.state_dict(), path)
        model = create_model(settings, len(content["pathologies"]))
    except UNMADE as error:
        raise CheckpointError(f"{path}: its settings make no network ({one_line(error)})") from error
    model.load_state_dict(content["weights"])
    return model.eval(), content


def _planned(settings: ModelSettings, n_pathologies: int) -> nn.Module:
    """The network without memory for its weights; with it, if its constructor looks at values (as Swin's does)."""
    try:
        with torch.device("meta"):
            return create_model(settings, n_pathologies)
    except (RuntimeError, NotImplementedError):
        return create_model(settings, n_pathologies)


def _check_weights(
    weights: Mapping[str, torch.Tensor], planned: Mapping[str, torch.Tensor], path: str | os.PathLike
) -> None:
    fits = weights.keys() == planned.keys()
    if not fits or any(tensor.shape != planned[name].shape for name, tensor in weights.items()):
        raise CheckpointError(f"{path}: its weights do not fit its own settings")
    for name, tensor in weights.items():
        if (found := fault(tensor, planned[name])) is not None:
            raise CheckpointError(f"{path}: its tensor {name} {found}; the network cannot be used, train it again")
