"""The lock of the file that Optuna keeps a study in."""

import fcntl
import os
from pathlib import Path
from typing import IO


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
