"""File locks that the kernel drops when their process ends, however it ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`, once nobody else does."""
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def try_lock(path: Path) -> IO | None:
    """The lock file `path`, held until it is closed; None if somebody else holds it."""
    file = open(path, "a")  # noqa: SIM115
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


class JournalLock:
    """The lock of Optuna's journal, which must not outlive its process, nor keep the half line of a killed one."""

    def __init__(self, journal: Path):
        self.journal = journal
        self._held: IO | None = None

    def acquire(self) -> bool:
        """Wait for the lock; then cut off what a process that was killed while it wrote has left."""
        self._held = open(self.journal.with_suffix(".lock"), "a")  # noqa: SIM115
        fcntl.flock(self._held, fcntl.LOCK_EX)
        content = self.journal.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(self.journal, whole)
        return True

    def release(self) -> None:
        """Let others write."""
        if self._held is not None:
            self._held.close()
