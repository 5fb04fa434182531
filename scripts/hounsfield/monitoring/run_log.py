"""What Snakemake's own log tells of a run: jobs done, running and to come, and how long each kind took."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median

STAMP = re.compile(r"\[(\w{3} \w{3} +\d+ \d\d:\d\d:\d\d \d{4})\]$")
STARTED = re.compile(r"Job (\d+): (.*)$")
FINISHED = re.compile(r"Finished jobid: (\d+) \(Rule: (\w+)\)$")
STEPS = re.compile(r"(\d+) of (\d+) steps \(\d+%\) done$")
FAILED = re.compile(r"Error in rule (\w+):?")
COUNT = re.compile(r"(\w+) +(\d+)$")


@dataclass
class RunLog:
    """done, total: jobs. running: job number -> message. seconds: rule -> of each finished job. left: rule -> jobs that
    have not finished. failed: rules. ended: whether Snakemake has ended, well or not. started: of the run."""

    path: Path
    done: int = 0
    total: int = 0
    running: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    left: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    ended: bool = False
    started: datetime | None = None
    latest: datetime | None = None

    @property
    def seconds_left(self) -> tuple[float, int]:
        """Seconds that jobs of measured kinds will still take at the pace so far, and how many are of other kinds."""
        worked = sum(map(sum, self.seconds.values()))
        elapsed = (self.latest - self.started).total_seconds() if self.latest and self.started else 0.0
        at_once = max(1.0, worked / elapsed) if elapsed else 1.0
        known = sum(median(self.seconds[rule]) * count for rule, count in self.left.items() if self.seconds.get(rule))
        unknown = sum(count for rule, count in self.left.items() if not self.seconds.get(rule) and rule != "all")
        return known / at_once, unknown


def read_run_log(lines: Iterable[str], path: Path) -> RunLog:
    """What the lines of one of Snakemake's logs tell, whole or not yet whole."""
    log, since = RunLog(path), {}
    counting = False
    for line in map(str.strip, lines):
        if stamp := STAMP.match(line):
            log.latest = datetime.strptime(stamp[1], "%a %b %d %H:%M:%S %Y")
            log.started = log.started or log.latest
        elif line == "Job stats:":
            counting, log.left = True, Counter()
        elif counting and (count := COUNT.match(line)):
            counting = count[1] != "total"
            if counting:
                log.left[count[1]] = int(count[2])
            else:
                log.total = int(count[2])
        elif started := STARTED.match(line):
            log.running[started[1]], since[started[1]] = started[2], log.latest
        elif finished := FINISHED.match(line):
            number, rule = finished.groups()
            log.running.pop(number, None)
            log.left[rule] -= 1
            if (begun := since.get(number)) and log.latest:
                log.seconds[rule].append((log.latest - begun).total_seconds())
        elif steps := STEPS.match(line):
            log.done, log.total = int(steps[1]), int(steps[2])
        elif failed := FAILED.match(line):
            log.failed.append(failed[1])
        elif line.startswith("Complete log(s)"):
            log.ended = True
    log.left = +log.left  # without what is done
    if log.ended:
        log.running.clear()
    return log


def latest_run_log(folder: Path, name: str) -> RunLog | None:
    """The log of the last Snakemake in `folder` that had to do with `results/{name}`; None if there is none."""
    paths = sorted((folder / ".snakemake" / "log").glob("*.snakemake.log"), key=lambda path: path.stat().st_mtime)
    for path in reversed(paths):
        text = path.read_text(encoding="utf-8", errors="replace")
        if f"results/{name}/" in text:
            return read_run_log(text.splitlines(), path)
    return None


def spoken_seconds(seconds: float) -> str:
    """A length of time to read."""
    minutes, hours = seconds / 60, seconds / 3600
    return f"{seconds:.0f} s" if seconds < 90 else f"{minutes:.0f} min" if minutes < 90 else f"{hours:.1f} h"


def last_lines(path: Path, count: int) -> list[str]:
    """The last lines of a log."""
    return path.read_text(encoding="utf-8", errors="replace").splitlines()[-count:]


def plain(log: RunLog) -> Mapping[str, object]:
    """As JSON takes it."""
    seconds, unmeasured = log.seconds_left
    return {
        "done": log.done,
        "total": log.total,
        "running": list(log.running.values()),
        "failed": log.failed,
        "ended": log.ended,
        "seconds_left": round(seconds),
        "jobs_of_unmeasured_kinds": unmeasured,
        "log": str(log.path),
    }
