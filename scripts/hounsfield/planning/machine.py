"""What this machine has: cores, memory, GPUs, disk."""

import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from hounsfield.errors import HounsfieldError

BUSY_SHARE = 0.75  # of the cores, in use over the last minute
CGROUP = Path("/sys/fs/cgroup")
# Limit and use of a container's memory, in versions 2 and 1 of the kernel's control groups.
LIMITS = (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))


@dataclass(frozen=True)
class Machine:
    """cores: CPU cores. memory, disk: free bytes, the disk's where the store lies or will lie.

    gpus: how many; gpu_name and gpu_memory (bytes) of the first. busy: whether other work takes the cores.
    """

    cores: int
    memory: float
    disk: float
    gpus: int = 0
    gpu_name: str = ""
    gpu_memory: float = 0.0
    busy: bool = False

    def __str__(self) -> str:
        gpus = f"{self.gpus} x {self.gpu_name} ({self.gpu_memory / 1e9:.0f} GB)" if self.gpus else "no GPU"
        return (
            f"{self.cores} CPU cores, {self.memory / 1e9:.0f} GB of memory free, {gpus}, "
            f"{self.disk / 1e9:.0f} GB of disk free"
        )


def inspect_machine(store: str | os.PathLike, gpus: int = 0) -> Machine:
    """This machine, of whose GPUs the run may use `gpus`; starts CUDA, so one must have been leased before.

    Raises HounsfieldError on a system that does not tell how much memory a training takes.
    """
    if sys.platform != "linux":
        raise HounsfieldError(f"planning measures memory as Linux tells it, and this is {sys.platform}; plan on Linux")
    gpus, name, memory = max(1, gpus) if torch.cuda.is_available() else 0, "", 0.0
    if gpus:
        properties = torch.cuda.get_device_properties(0)
        name, memory = properties.name, float(properties.total_memory)
    disk = shutil.disk_usage(existing_parent(Path(store))).free
    cores = len(os.sched_getaffinity(0))
    busy = os.getloadavg()[0] > BUSY_SHARE * cores
    return Machine(cores, free_memory(), float(disk), gpus, name, memory, busy)


def existing_parent(path: Path) -> Path:
    """`path`, or the nearest folder above it that exists."""
    return next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())


def free_memory() -> float:
    """Bytes that a new process can have: what the kernel calls available, within the limit of a container."""
    (available,) = re.findall(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), flags=re.MULTILINE)
    free = float(available) * 1024
    for limit, used in LIMITS:
        if (CGROUP / limit).exists() and (text := (CGROUP / limit).read_text().strip()) != "max":
            free = min(free, float(text) - float((CGROUP / used).read_text()))
    return free
