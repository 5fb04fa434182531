"""How much memory a process has used."""

import re
from pathlib import Path


def peak_memory_mb() -> float:
    """Highest resident memory of this process so far, MiB (Linux).

    Not `getrusage`: its ru_maxrss outlives exec, so that a small process reports the size of the one that started it.
    """
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"^VmHWM:\s+(\d+) kB", status, flags=re.MULTILINE)[1]) / 1024
