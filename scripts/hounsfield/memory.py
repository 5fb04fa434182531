"""How much memory a process has used."""

import re
import resource
import sys
from pathlib import Path


def peak_memory_mb() -> float:
    """Highest resident memory of this process so far, MiB.

    On Linux not by `getrusage`: its ru_maxrss outlives exec, so that a small process reports the size of the one that
    started it. A Mac has nothing else, and counts it in bytes.
    """
    if sys.platform != "linux":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    status = Path("/proc/self/status").read_text()
    (peak,) = re.findall(r"^VmHWM:\s+(\d+) kB", status, flags=re.MULTILINE)
    return int(peak) / 1024
