"""How trainings go, read from the lines that each epoch leaves in their logs."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

EPOCH = re.compile(
    r"(?P<time>\S+ \S+) INFO epoch (?P<epoch>\d+) of (?P<epochs>\d+): "
    r"loss (?P<loss>\S+), validation loss (?P<val>\S+), macro AUROC (?P<auroc>\S+); "
    r"(?P<rate>\S+) volumes/s, (?P<waiting>\d+) % waiting for data$"
)
BARS = "▁▂▃▄▅▆▇█"
WIDTH = 40


@dataclass(frozen=True)
class Epoch:
    """One line: when, number from 1 of how many, losses, macro AUROC on validation, volumes a second, % waiting."""

    time: datetime
    number: int
    of: int
    loss: float
    val_loss: float
    auroc: float
    rate: float
    waiting: int


@dataclass(frozen=True)
class TrainingLog:
    """name: run, model and seed. problem: the last lines, if it failed."""

    name: str
    epochs: Sequence[Epoch]
    finished: bool
    problem: Sequence[str]

    @property
    def best(self) -> Epoch | None:
        """The epoch of the highest macro AUROC; None before the first that is defined."""
        defined = [epoch for epoch in self.epochs if epoch.auroc == epoch.auroc]
        return max(defined, key=lambda epoch: epoch.auroc, default=None)

    @property
    def seconds_left(self) -> float:
        """Until the last epoch, at the pace of the last ten; early stopping may end it before."""
        recent = self.epochs[-10:]
        if self.finished or len(recent) < 2:
            return 0.0
        pace = (recent[-1].time - recent[0].time).total_seconds() / (recent[-1].number - recent[0].number)
        return pace * (recent[-1].of - recent[-1].number)


def read_trainings(results: Path) -> list[TrainingLog]:
    """Every training that has a log below `results`, those of further folds too."""
    found = sorted(results.glob("logs/train/*/*.log")) + sorted(results.glob("folds/*/logs/train/*/*.log"))
    return [read_training(path, _name(path, results)) for path in found]


def read_training(path: Path, name: str) -> TrainingLog:
    """A training's log, of its last attempt."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    starts = [place for place, line in enumerate(lines) if " train: started" in line]
    lines = lines[starts[-1] :] if starts else lines
    epochs = [_epoch(match) for line in lines if (match := EPOCH.match(line))]
    finished = any(" train: finished" in line for line in lines)
    wrong = [line for line in lines if " ERROR " in line]
    return TrainingLog(name, epochs, finished, wrong[-3:] if not finished else ())


def curve(values: Sequence[float]) -> str:
    """Values as a line of bars, of the last WIDTH; each from the lowest to the highest of them, `·` where undefined."""
    shown = list(values)[-WIDTH:]
    defined = [value for value in shown if value == value]
    if not defined:
        return "·" * len(shown)
    low, high = min(defined), max(defined)
    span = (high - low) or 1.0
    return "".join("·" if v != v else BARS[min(7, int(8 * (v - low) / span))] for v in shown)


def _epoch(match: re.Match[str]) -> Epoch:
    return Epoch(
        datetime.strptime(match["time"], "%Y-%m-%d %H:%M:%S"),
        int(match["epoch"]),
        int(match["epochs"]),
        float(match["loss"]),
        float(match["val"]),
        float(match["auroc"]),
        float(match["rate"]),
        int(match["waiting"]),
    )


def _name(path: Path, results: Path) -> str:
    *folder, model, seed = path.relative_to(results).with_suffix("").parts
    fold = f"fold {folder[1]}, " if folder[0] == "folds" else ""
    return f"{fold}{model}, {seed.replace('seed', 'seed ')}"
