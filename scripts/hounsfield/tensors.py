"""Files of tensors, whoever made them: read as data only, and looked at before they are used."""

import os
import pickle
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from hounsfield.errors import CheckpointError

UNREADABLE: tuple[type[BaseException], ...] = (
    OSError,
    RuntimeError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    struct.error,
)
UNREADABLE += (pickle.UnpicklingError, zipfile.BadZipFile, zlib.error, AssertionError, ImportError, SafetensorError)


def read_tensors(path: str | os.PathLike, what: str) -> Any:
    """Content of a torch file or of a .safetensors, on the CPU; `what` it is to be, for the message.

    The checksums of a torch file, which torch writes and never compares, are compared. Raises CheckpointError if it is
    damaged, compressed (torch's are not), or holds more than data.
    """
    try:
        if Path(path).suffix == ".safetensors":
            return load_file(path)
        if zipfile.is_zipfile(path):
            _compare_checksums(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{path}: cannot be read as {what} ({reason[:200]})") from error


def _compare_checksums(path: str | os.PathLike) -> None:
    with zipfile.ZipFile(path) as archive:
        if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
            raise CheckpointError(f"{path}: is compressed, as torch writes no file; give the original")
        changed = archive.testzip()
    if changed is not None:
        raise CheckpointError(f"{path}: is damaged (the checksum of {changed} is wrong)")


def fault(tensor: torch.Tensor, target: torch.Tensor) -> str | None:
    """Why the values of `tensor` cannot be those of `target` (of the same shape or not); None if they can.

    Its numbers must be there in memory, one each, of the target's kind, and finite in the target's type.
    """
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
        return "is no plain tensor"
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        return "has more places than values"
    if tensor.is_floating_point() != target.is_floating_point() or tensor.is_complex():
        return f"is of type {str(tensor.dtype).removeprefix('torch.')}"
    if tensor.is_floating_point() and not torch.isfinite(tensor.to(target.dtype)).all():
        return "holds values that are not finite"
    return None
