"""Which GPU a job uses: an index leased by file lock, as Snakemake counts GPUs and assigns none."""

import getpass
import logging
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hounsfield.locks import try_lock

log = logging.getLogger(__name__)


def count_gpus() -> int:
    """GPUs that the driver lists; 0 without a driver. Does not start CUDA."""
    if shutil.which("nvidia-smi") is None:
        return 0
    listing = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, check=False, timeout=60)
    return sum(1 for line in listing.stdout.splitlines() if line.startswith("GPU "))


@contextmanager
def lease_devices(n: int, poll_s: float = 1.0) -> Iterator[list[int]]:
    """Hold `n` GPUs that no other job of this user on this machine holds, and show CUDA only those.

    Yields their indices: [] on a machine without GPUs. Where a scheduler has already confined the job
    (CUDA_VISIBLE_DEVICES is set), that is left as it is. Must come before CUDA starts. The kernel drops the locks when
    the process ends, however it ends.
    """
    confined = os.environ.get("CUDA_VISIBLE_DEVICES")
    if confined is not None:
        log.info("GPU %s, as the scheduler gave it", confined or "none")
        yield list(range(len([index for index in confined.split(",") if index.strip()])))
        return
    available = count_gpus()
    if not available:
        yield []
        return
    n = min(n, available)
    with ExitStack() as held:
        indices = _acquire(n, available, poll_s, held)
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, indices))
        log.info("GPU %s of %d", os.environ["CUDA_VISIBLE_DEVICES"], available)
        try:
            yield indices
        finally:
            del os.environ["CUDA_VISIBLE_DEVICES"]


def _acquire(n: int, available: int, poll_s: float, held: ExitStack) -> list[int]:
    """All `n` or none at a time, so that two jobs of two GPUs never wait for each other."""
    waited = False
    while True:
        with ExitStack() as attempt:
            indices = []
            for index in range(available):
                if len(indices) < n and (lock := try_lock(_lock_folder() / f"gpu{index}.lock")) is not None:
                    attempt.enter_context(lock)
                    indices.append(index)
            if len(indices) == n:
                held.push(attempt.pop_all())
                return indices
        if not waited:
            log.info("waiting for %d of %d GPUs", n, available)
            waited = True
        time.sleep(poll_s)


def _lock_folder() -> Path:
    folder = Path(tempfile.gettempdir()) / f"hounsfield-{getpass.getuser()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder
