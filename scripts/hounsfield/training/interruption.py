"""SIGINT and SIGTERM: finish the step, write a checkpoint, leave."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Interrupted(SystemExit):
    """Training was asked to stop and has written its checkpoint; the process ends with 128 + the signal."""

    def __init__(self, number: int):
        self.number = number
        super().__init__(128 + number)


class Interruption:
    """Remembers the first signal; a second Ctrl-C acts at once (schedulers and launchers repeat SIGTERM)."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._before: dict[int, Any] = {}

    def __call__(self, number: int, frame: object) -> None:
        self.number = number
        signal.signal(signal.SIGINT, self._before[signal.SIGINT])

    def __bool__(self) -> bool:
        return self.number is not None


@contextmanager
def catch_signals() -> Iterator[Interruption]:
    """An `Interruption` that becomes true at SIGINT or SIGTERM, within the main thread."""
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        interruption._before[number] = signal.signal(number, interruption)
    try:
        yield interruption
    finally:
        for caught, handler in interruption._before.items():
            signal.signal(caught, handler)
