"""How far a run is: `hounsfield status [NAME]`."""

import argparse
import json
import sys
import time
from pathlib import Path

from hounsfield.errors import ConfigError, HounsfieldError
from hounsfield.monitoring.run_log import RunLog, last_lines, latest_run_log, plain, spoken_seconds
from hounsfield.monitoring.trainings import TrainingLog, curve, read_trainings

FAILED_LINES = 5
# Every job writes a line within half a minute of work; a training, one an epoch.
SILENT_AFTER_S = 1800
CLEAR = "\x1b[2J\x1b[H"


def main(arguments: list[str] | None = None) -> int:
    """Print the state of a run; 0 if nothing has failed, 1 if jobs have, 2 if there is no such run."""
    parser = argparse.ArgumentParser(
        prog="hounsfield status", description=__doc__, epilog="example: hounsfield status phantoms --follow"
    )
    parser.add_argument("name", nargs="?", help="of the configuration; by default the run that wrote last")
    parser.add_argument("--follow", action="store_true", help="print again every few seconds, until the run ends")
    parser.add_argument("--every", type=float, default=5.0, metavar="SECONDS", help="how often (5)")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args(arguments)
    try:
        name = options.name or latest_run(Path("results"))
        while True:
            log, trainings = read_status(Path(), name)
            text = as_json(name, log, trainings) if options.json else as_text(name, log, trainings)
            print(CLEAR * (options.follow and sys.stdout.isatty()) + text, flush=True)
            if not options.follow or log is None or log.ended:
                return int(bool(log and log.failed))
            time.sleep(options.every)
    except (HounsfieldError, OSError) as error:
        print(f"ERROR {error}", file=sys.stderr)
        return 2


def latest_run(results: Path) -> str:
    """Name of the run whose logs are the newest. Raises ConfigError if there is none."""
    runs = {path.parent: path.stat().st_mtime for path in results.glob("*/logs")}
    if not runs:
        raise ConfigError(f"{results.absolute()}: no run in it; start one, or go to the folder where it was started")
    return max(runs, key=lambda run: runs[run]).name


def read_status(folder: Path, name: str) -> tuple[RunLog | None, list[TrainingLog]]:
    """Snakemake's log of the run, and its trainings. Raises ConfigError if there is no such run."""
    results = folder / "results" / name
    if not results.is_dir():
        raise ConfigError(
            f"{results}: is not there; name a run of this folder, or go to the folder where it was started"
        )
    return latest_run_log(folder, name), read_trainings(results)


def as_text(name: str, log: RunLog | None, trainings: list[TrainingLog]) -> str:
    """To read in a terminal."""
    lines = [f"{name}: {_progress(log)}"]
    if log is not None:
        lines += _silence(log, Path("results", name))
        lines += [f"  running: {message}" for message in log.running.values()]
        lines += [line for rule in log.failed for line in _failure(rule, Path("results", name))]
    for training in trainings:
        lines += _training(training)
    return "\n".join(lines)


def as_json(name: str, log: RunLog | None, trainings: list[TrainingLog]) -> str:
    """To read by a program."""
    rows = [
        {
            "training": training.name,
            "epoch": training.epochs[-1].number if training.epochs else 0,
            "epochs": training.epochs[-1].of if training.epochs else None,
            "best_auroc": training.best.auroc if training.best else None,
            "best_epoch": training.best.number if training.best else None,
            "volumes_per_second": training.epochs[-1].rate if training.epochs else None,
            "finished": training.finished,
            "seconds_left": round(training.seconds_left),
            "problem": list(training.problem),
        }
        for training in trainings
    ]
    return json.dumps({"name": name, "run": plain(log) if log else None, "trainings": rows})


def _progress(log: RunLog | None) -> str:
    if log is None:
        return "no log of Snakemake tells of it; its jobs may run elsewhere"
    come = max(0, log.total - log.done - len(log.running))
    text = f"{log.done} of {log.total} jobs done, {len(log.running)} running, {come} to come"
    if log.ended:
        return text + ("; ended with failures, the same command goes on" if log.failed else "; ended")
    seconds, unmeasured = log.seconds_left
    other = f", and {unmeasured} jobs of kinds not measured yet" if unmeasured else ""
    return f"{text}; about {spoken_seconds(seconds)} more{other}"


def _silence(log: RunLog, results: Path) -> list[str]:
    logs = [log.path, *results.rglob("*.log")]
    silent = time.time() - max(path.stat().st_mtime for path in logs)
    if log.ended or silent < SILENT_AFTER_S:
        return []
    return [f"  nothing was written for {spoken_seconds(silent)}: if it was killed, the same command goes on"]


def _failure(rule: str, results: Path) -> list[str]:
    logs = [path for path in results.rglob("*.log") if f" {rule}: started" in path.read_text(errors="replace")]
    broken = [path for path in logs if f" {rule}: finished" not in path.read_text(errors="replace")]
    lines = [f"  failed: {rule}"]
    for path in broken:
        lines += [f"    {path}", *(f"      {line}" for line in last_lines(path, FAILED_LINES))]
    return lines


def _training(training: TrainingLog) -> list[str]:
    if not training.epochs:
        return [f"  {training.name}: no epoch yet", *(f"    {line}" for line in training.problem)]
    last, best = training.epochs[-1], training.best
    told = f"  {training.name}: epoch {last.number} of {last.of}"
    told += f", best macro AUROC {best.auroc:.3f} in epoch {best.number}" if best else ", macro AUROC undefined so far"
    told += f", {last.rate:g} volumes/s, {last.waiting} % waiting"
    left = ", finished" if training.finished else f", at most {spoken_seconds(training.seconds_left)} more"
    picture = f"    {curve([epoch.auroc for epoch in training.epochs])}"
    return [told + left, picture, *(f"    {line}" for line in training.problem)]


if __name__ == "__main__":
    sys.exit(main())
