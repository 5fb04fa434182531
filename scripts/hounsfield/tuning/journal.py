"""The lock of the file that Optuna keeps a study in."""

import os
from contextlib import ExitStack
from pathlib import Path

from hounsfield.locks import locked


class JournalLock:
    """The lock of Optuna's journal, which must not outlive its process, nor keep the half line of a killed one."""

    def __init__(self, journal: Path):
        self.journal = journal
        self._held = ExitStack()

    def acquire(self) -> bool:
        """Wait for the lock; then cut off what a process that was killed while it wrote has left."""
        self._held.enter_context(locked(self.journal.with_suffix(".lock")))
        content = self.journal.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(self.journal, whole)
        return True

    def release(self) -> None:
        """Let others write."""
        self._held.close()
