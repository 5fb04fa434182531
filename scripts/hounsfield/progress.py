"""A bar in a terminal, plain lines in a log."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator

from tqdm import tqdm

log = logging.getLogger(__name__)


def progress(items: Iterable, total: int, what: str, every_s: float = 30.0) -> Iterator:
    """Pass `items` through, showing how far they are: a bar on a terminal, a log line every `every_s` seconds."""
    bar = tqdm(items, total=total, desc=what, disable=not sys.stderr.isatty(), leave=False)
    last = time.monotonic()
    for done, item in enumerate(bar, 1):
        yield item
        if time.monotonic() - last >= every_s:
            log.info("%s: %d of %d", what, done, total)
            last = time.monotonic()
    log.info("%s: done (%d)", what, total)
