"""What every stage does around its work: a log that is never empty, and errors that say what to do."""

import ctypes
import errno
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hounsfield.errors import HounsfieldError
from hounsfield.locks import locked, try_lock
from hounsfield.memory import peak_memory_mb

log = logging.getLogger(__name__)

PR_SET_PDEATHSIG = 1  # linux/prctl.h
ADOPTERS = ("systemd", "init", "tini", "dumb-init", "docker-init", "catatonit")
ADVICE = {
    errno.ENOSPC: "make room on that disk",
    errno.EDQUOT: "make room in your quota",
    errno.EROFS: "mount that disk for writing",
    errno.EACCES: "ask for the permission",
    errno.EPERM: "ask for the permission",
    errno.EIO: "look after that disk",
    errno.ESTALE: "mount that folder again",
}


def run_job(main: Callable[[Any], None], snakemake: Any) -> None:
    """Run `main(snakemake)`, logging to the rule's log file and to the terminal.

    A HounsfieldError ends the job with its one line; any other error adds its traceback to the log file only.
    """
    end_with_parent()
    path = snakemake.log[0]
    log_to(path)
    log.info("%s: started (%s)", snakemake.rule, ", ".join(f"{k}={v}" for k, v in snakemake.wildcards.items()))
    try:
        with only_one(f"{path}.lock"):
            main(snakemake)
    except HounsfieldError as error:
        log.error("%s", error)
        sys.exit(1)
    except Exception as error:
        advice = ADVICE.get(error.errno or 0) if isinstance(error, OSError) else None
        if advice and isinstance(error, OSError):
            log.error("%s: %s; %s, then run the same command again", error.filename, error.strerror, advice)
        else:
            log.error("%s failed: %s: %s; the traceback is in %s", snakemake.rule, type(error).__name__, error, path)
        logging.getLogger("hounsfield.traceback").exception("traceback")
        sys.exit(1)
    log.info("%s: finished, with %.0f MB of memory at most", snakemake.rule, peak_memory_mb())


def end_with_parent() -> None:
    """Have the kernel send this process SIGTERM when its parent dies, so that none is left behind.

    Only Linux can; elsewhere a job whose Snakemake was killed runs on to its end, and the next run waits for its lock.
    Ends this process at once if its parent has died already, as it may while torch is imported.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if is_orphan():
        sys.exit(f"process {os.getpid()}: Snakemake has ended, and so does its job; the same command goes on")


def is_orphan() -> bool:
    """Whether the parent is one that adopts processes, and not Snakemake as the first process of a container."""
    parent = Path("/proc", str(os.getppid()))
    try:
        name, command = (parent / "comm").read_text().strip(), (parent / "cmdline").read_bytes()
    except OSError:  # it has ended just now, or /proc hides it
        return False
    return (parent.name == "1" or name in ADOPTERS) and b"snakemake" not in command


@contextmanager
def only_one(path: str) -> Iterator[None]:
    """Hold the file lock `path`, once nobody else does; the kernel drops it when the process ends, however it ends.

    Snakemake's own lock of the directory outlives a power cut, so the default profile does without it. A job that
    failed here instead would have Snakemake remove the outputs that the other run is writing.
    """
    held = try_lock(path)
    if held is None:
        log.warning("%s: another run is doing this now; waiting until it ends", path)
        held = locked(path)
    with held:
        yield


def log_to(path: str, level: int = logging.INFO) -> None:
    """Log to the file and to the terminal; tracebacks to the file alone."""
    plain = logging.Formatter("%(asctime)s %(levelname)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S")
    file, terminal = logging.FileHandler(path), logging.StreamHandler()
    terminal.addFilter(lambda record: record.name != "hounsfield.traceback")
    for handler in (file, terminal):
        handler.setFormatter(plain)
    logging.basicConfig(level=level, handlers=[file, terminal], force=True)
