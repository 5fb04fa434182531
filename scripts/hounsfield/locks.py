"""File locks that the kernel drops when their process ends, however it ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO


@contextmanager
def locked(path: str | os.PathLike) -> Iterator[None]:
    """Hold the lock file `path`, once nobody else does."""
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def try_lock(path: str | os.PathLike) -> IO | None:
    """The lock file `path`, held until it is closed; None if somebody else holds it."""
    file = open(path, "a")  # noqa: SIM115
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file
