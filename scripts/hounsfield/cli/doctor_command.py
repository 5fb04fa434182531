"""Whether this machine is ready: `hounsfield doctor`."""

import argparse
import json
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from hounsfield.locks import try_lock

GIB = 2**30
LEAST_DISK_GIB = 20
# A loader's worker holds each batch there: 16 volumes of 240 x 480 x 480 float32.
LEAST_SHARED_GIB = 4
LEAST_FILES = 1024
SYMBOLS = {"fine": "ok ", "look": "?  ", "broken": "NO "}


@dataclass(frozen=True)
class Finding:
    """What was looked at, how it is (fine, look, broken), what was seen, and what to do about it."""

    name: str
    state: str
    seen: str
    advice: str = ""


def main(arguments: list[str] | None = None) -> int:
    """One line a finding; 0 if nothing is broken, else 1."""
    parser = argparse.ArgumentParser(
        prog="hounsfield doctor", description=__doc__, epilog="example: hounsfield doctor --store /scratch/store"
    )
    parser.add_argument("--store", type=Path, default=Path("results/store"), help="where volumes are to be stored")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args(arguments)
    findings = list(examine(options.store))
    for finding in findings:
        print(json.dumps(asdict(finding)) if options.json else as_line(finding))
    return int(any(finding.state == "broken" for finding in findings))


def as_line(finding: Finding) -> str:
    """Name, what was seen, and the advice behind it."""
    advice = f"; {finding.advice}" if finding.advice else ""
    return f"{SYMBOLS[finding.state]} {finding.name:<14} {finding.seen}{advice}"


def examine(store: Path) -> Iterator[Finding]:
    """Everything that has kept a run from working."""
    yield python()
    yield packages()
    yield gpus()
    for name, folder in (("results", Path("results")), ("store", store)):
        yield disk(name, folder)
        yield locks(name, folder)
    yield shared_memory()
    yield open_files()
    yield wandb()
    yield slurm()


def python() -> Finding:
    """The interpreter."""
    seen = f"{platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return Finding("python", "fine", seen)


def packages() -> Finding:
    """Whether what the library requires is installed, in versions that it takes."""
    wrong = []
    needed = [Requirement(text) for text in requires("hounsfield") or []]
    for requirement in needed:
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            installed = version(requirement.name)
        except PackageNotFoundError:
            wrong.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(installed.split("+")[0], prereleases=True):
            wrong.append(f"{requirement.name} is {installed}, not {requirement.specifier}")
    if wrong:
        return Finding("packages", "broken", ", ".join(wrong), "run `make setup`, or pip install -r requirements.txt")
    return Finding("packages", "fine", f"{len(needed)} as required, torch {version('torch')}")


def gpus() -> Finding:
    """GPUs of the driver, and whether this build of torch can use them."""
    if shutil.which("nvidia-smi") is None:
        return Finding("GPU", "look", "no driver (nvidia-smi is not there)", "training will run on the CPU")
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    done = subprocess.run(query, capture_output=True, text=True, check=False, timeout=60)
    listed = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    if done.returncode or not listed:
        reason = " ".join((done.stderr or done.stdout).split())[:160]
        return Finding(
            "GPU", "broken", f"nvidia-smi fails ({reason})", "mend the driver, or start the container with GPUs"
        )
    import torch  # takes seconds, so only where there is a GPU

    if not torch.cuda.is_available():
        needed = f"torch {torch.__version__} sees none of {len(listed)} ({listed[0]})"
        return Finding("GPU", "broken", needed, "install torch's build for the driver's CUDA: https://pytorch.org")
    return Finding("GPU", "fine", f"{torch.cuda.device_count()}: {'; '.join(dict.fromkeys(listed))}")


def disk(name: str, folder: Path) -> Finding:
    """Room where results or volumes go."""
    place = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    if not os.access(place, os.W_OK):
        return Finding(
            f"{name}: disk", "broken", f"{place} cannot be written", "ask for the permission, or choose another"
        )
    free = shutil.disk_usage(place).free / GIB
    seen = f"{free:.0f} GiB free at {place}"
    if free < LEAST_DISK_GIB:
        return Finding(f"{name}: disk", "look", seen, "`hounsfield plan` says how much a cohort takes")
    return Finding(f"{name}: disk", "fine", seen)


def locks(name: str, folder: Path) -> Finding:
    """Whether a lock keeps a second holder out, as runs side by side need."""
    place = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    try:
        with tempfile.TemporaryDirectory(prefix=".doctor-", dir=place) as temporary:
            path = Path(temporary) / "lock"
            first, second = try_lock(path), try_lock(path)
            for held in filter(None, (first, second)):
                held.__exit__(None, None, None)
            if first is not None and second is not None:
                return Finding(
                    f"{name}: locks", "broken", f"locks at {place} hold nobody off", "run one job at a time there"
                )
    except OSError as error:
        return Finding(f"{name}: locks", "broken", f"no lock at {place} ({error.strerror})", "choose another folder")
    return Finding(f"{name}: locks", "fine", f"work at {place}")


def shared_memory() -> Finding:
    """What processes that train together hand batches over in (Linux)."""
    folder = Path("/dev/shm")
    if not folder.is_dir():
        return Finding("shared memory", "fine", "none needed on this system")
    size = shutil.disk_usage(folder).total / GIB
    if size < LEAST_SHARED_GIB:
        advice = "give the container more (docker run --shm-size=16g)"
        return Finding("shared memory", "look", f"{size:.2f} GiB", advice)
    return Finding("shared memory", "fine", f"{size:.0f} GiB")


def open_files() -> Finding:
    """How many files a process may hold open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < LEAST_FILES:
        return Finding("open files", "look", f"{soft} at most", f"`ulimit -n {min(hard, 65536)}` before the run")
    return Finding("open files", "fine", f"{soft} at most")


def wandb() -> Finding:
    """What Weights & Biases would do with mode online; offline needs nothing."""
    netrc = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    known = netrc.is_file() and re.search(r"machine\s+api\.wandb\.ai", netrc.read_text(errors="replace"))
    if os.environ.get("WANDB_API_KEY") or known:
        return Finding("W&B", "fine", "a key is there, for wandb.mode: online")
    return Finding("W&B", "fine", "no key; runs are written offline", "`wandb login` before wandb.mode: online")


def slurm() -> Finding:
    """Whether jobs can be sent to a cluster."""
    if shutil.which("sbatch") is None:
        return Finding("Slurm", "fine", "none here; jobs run on this machine")
    done = subprocess.run(
        ["sinfo", "--noheader", "-o", "%P %D"], capture_output=True, text=True, check=False, timeout=30
    )
    if done.returncode:
        reason = " ".join(done.stderr.split())[:160]
        return Finding("Slurm", "broken", f"sinfo fails ({reason})", "ask who runs the cluster")
    partitions = ", ".join(line.split()[0] for line in done.stdout.splitlines() if line.split())
    return Finding("Slurm", "fine", f"partitions {partitions}", "use --workflow-profile workflow/profiles/slurm")


if __name__ == "__main__":
    sys.exit(main())
