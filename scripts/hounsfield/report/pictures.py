"""Pictures within the page: as they are while they are few, smaller when they are many."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from hounsfield.errors import TableError

# Bytes of all pictures together, so that the page stays under 5 MB.
ROOM = 1_500_000
# (WebP's quality, share of the edge's length), from the best down.
STEPS = ((85, 1.0), (70, 1.0), (55, 1.0), (40, 1.0), (40, 0.7), (40, 0.5), (30, 0.35))


def embedded(paths: Sequence[Path]) -> list[str]:
    """A data URI for each PNG: the file itself if all fit into ROOM, else WebP of the first of STEPS that fits.

    If even the last does not, that is taken. Raises TableError if a picture is missing or damaged.
    """
    try:
        contents = [path.read_bytes() for path in paths]
    except OSError as error:
        raise TableError(f"{error.filename}: cannot be read; remove its folder to have it remade") from error
    if sum(map(len, contents)) <= ROOM:
        return [_uri("png", content) for content in contents]
    for quality, scale in STEPS:
        smaller = [_webp(path, content, quality, scale) for path, content in zip(paths, contents, strict=True)]
        if sum(map(len, smaller)) <= ROOM:
            break
    return [_uri("webp", content) for content in smaller]


def _webp(path: Path, content: bytes, quality: int, scale: float) -> bytes:
    buffer = io.BytesIO()
    try:
        image = Image.open(io.BytesIO(content))
        image.thumbnail([max(1, round(edge * scale)) for edge in image.size])
        image.save(buffer, format="WEBP", quality=quality, method=4)
    except (UnidentifiedImageError, OSError) as error:
        raise TableError(f"{path}: is not a picture; remove its folder to have it remade") from error
    return buffer.getvalue()


def _uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
