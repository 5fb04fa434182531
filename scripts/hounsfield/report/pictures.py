"""Pictures within the page: as they are while they are few, smaller when they are many."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from hounsfield.errors import TableError

# Bytes of all pictures together, so that the page stays under 5 MB.
ROOM = 2_400_000
QUALITIES = (85, 70, 55, 40, 25)


def embedded(paths: Sequence[Path]) -> list[str]:
    """A data URI for each PNG: the file itself if all fit into ROOM, else WebP of the best quality that fits.

    If even the lowest does not, that is taken. Raises TableError if a picture is missing or damaged.
    """
    try:
        contents = [path.read_bytes() for path in paths]
    except OSError as error:
        raise TableError(f"{error.filename}: cannot be read; remove its folder to have it remade") from error
    if sum(map(len, contents)) <= ROOM:
        return [_uri("png", content) for content in contents]
    for quality in QUALITIES:
        smaller = [_webp(path, content, quality) for path, content in zip(paths, contents, strict=True)]
        if sum(map(len, smaller)) <= ROOM:
            break
    return [_uri("webp", content) for content in smaller]


def _webp(path: Path, content: bytes, quality: int) -> bytes:
    buffer = io.BytesIO()
    try:
        Image.open(io.BytesIO(content)).save(buffer, format="WEBP", quality=quality, method=4)
    except (UnidentifiedImageError, OSError) as error:
        raise TableError(f"{path}: is not a picture; remove its folder to have it remade") from error
    return buffer.getvalue()


def _uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
