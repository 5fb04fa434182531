"""What the run was made with, so that it can be made again."""

import hashlib
import os
import platform
import subprocess
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from hounsfield.layout import RunFolder

PACKAGES = ("torch", "monai", "snakemake", "numpy", "pandas", "scikit-learn", "numba", "nibabel", "pydicom", "blosc2")
RUN = RunFolder(Path())
DIGESTED = [RUN.cohort("dataset"), RUN.cohort("manifest"), RUN.checkpoint("*", "*"), RUN.predictions("*", "*", "*")]


def versions() -> dict[str, str]:
    """Python and the packages that the results depend on, with their versions; "absent" for what is not installed."""
    found = {"Python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def machine() -> dict[str, str]:
    """The machine that wrote the page; stages may have run on others."""
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "graphics": ", ".join(_lines("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")) or "none",
    }


def code_version(folder: Path) -> str:
    """Commit of the repository that `folder` lies in, and whether files differ from it; "" outside a repository."""
    commit = _lines("git", "-C", str(folder), "rev-parse", "HEAD")
    if not commit:
        return ""
    changed = _lines("git", "-C", str(folder), "status", "--porcelain", "--untracked-files=no")
    return commit[0] + (" with local changes" if changed else "")


def digests(results: Path, runs: Iterable[Path]) -> dict[str, str]:
    """BLAKE2 digest (128 bits) of the files that decide the scores, by their path below `results`.

    runs: folders that were trained in: `results`, and those of further folds.
    """
    paths = [path for run in runs for pattern in DIGESTED for path in sorted(run.glob(str(pattern)))]
    return {str(path.relative_to(results)): _digest(path) for path in paths}


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _lines(*command: str) -> list[str]:
    """Lines that a command prints; none if it is missing, fails or hangs."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]
