"""Checkpoints: written whole or not at all, read without running code."""

import logging
import os
import pickle
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hounsfield.errors import CheckpointError
from hounsfield.files import atomic_write
from hounsfield.models.create import create_model
from hounsfield.models.settings import ModelSettings
from hounsfield.settings import settings_from

log = logging.getLogger(__name__)

FORMAT = 1
UNREADABLE = (OSError, RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError, struct.error)
UNREADABLE += (pickle.UnpicklingError, zipfile.BadZipFile, zlib.error)
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
    try:
        with zipfile.ZipFile(path) as archive:
            changed = archive.testzip()  # torch writes checksums and compares none
        if changed is not None:
            raise CheckpointError(f"{path}: is damaged (the checksum of {changed} is wrong)")
        content = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{path}: cannot be read as a checkpoint ({reason[:200]})") from error
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


def load_model(path: str | os.PathLike) -> tuple[nn.Module, dict[str, Any]]:
    """The network of a best.pth or final.pth, in evaluation mode on the CPU, and the checkpoint's content.

    Raises CheckpointError.
    """
    content = load_checkpoint(path)
    absent = [key for key in ("model", "pathologies", "weights") if key not in content]
    if absent:
        raise CheckpointError(f"{path}: holds no trained network ({absent[0]} is missing); give best.pth or final.pth")
    settings = settings_from(ModelSettings, content["model"] | {"weights": None}, "model")
    model = create_model(settings, len(content["pathologies"]))
    try:
        model.load_state_dict(content["weights"])
    except RuntimeError as error:
        raise CheckpointError(f"{path}: its weights do not fit its own settings") from error
    return model.eval(), content
