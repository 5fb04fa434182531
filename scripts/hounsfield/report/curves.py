"""Figures of one pathology's scores: ROC, precision and recall, reliability, distributions."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from sklearn.metrics import precision_recall_curve, roc_curve

from hounsfield.report.svg import COLOURS, drawing, line_look, look, to_svg

SIZE = (2.9, 2.75)
# More points than this are drawn on top of one another.
POINTS = 120
BINS = 8
# Where a model's scans with and without the finding are drawn, about its own line.
OFFSETS = {1: -0.16, 0: 0.16}
GUIDE = {"color": COLOURS[6], "linewidth": 1, "linestyle": "--"}

# Of one pathology, by model: labels (N,) of 1 and 0, probabilities (N,), unknown labels left out.
Scored = Mapping[str, tuple[np.ndarray, np.ndarray]]


def roc_panel(scored: Scored, key: str, name: str) -> str:
    """ROC curves, the diagonal as chance."""
    with drawing(*SIZE) as (figure, axes):
        for rank, (labels, probabilities) in enumerate(scored.values()):
            if has_both(labels):
                false, true, _ = roc_curve(labels, probabilities)
                axes.plot(*thinned(false, true), drawstyle="steps-post", **line_look(rank))
        axes.plot([0, 1], [0, 1], **GUIDE)
        _unit_square(axes, "1 − specificity", "sensitivity", "ROC (dashed: chance)")
        return to_svg(figure, key, f"ROC curves, {name}")


def precision_recall_panel(scored: Scored, key: str, name: str) -> str:
    """Precision over recall, the prevalence as chance."""
    with drawing(*SIZE) as (figure, axes):
        for rank, (labels, probabilities) in enumerate(scored.values()):
            if has_both(labels):
                precision, recall, _ = precision_recall_curve(labels, probabilities)
                axes.plot(*thinned(recall, precision), drawstyle="steps-pre", **line_look(rank))
                axes.axhline(labels.mean(), **GUIDE)
        _unit_square(axes, "recall", "precision", "Precision, recall (dashed: prevalence)")
        return to_svg(figure, key, f"Precision and recall, {name}")


def reliability_panel(scored: Scored, key: str, name: str) -> str:
    """How often scans that are given a probability have the finding, in bins of equal count."""
    with drawing(*SIZE) as (figure, axes):
        for rank, (labels, probabilities) in enumerate(scored.values()):
            if len(labels):
                axes.plot(*reliability(labels, probabilities), markersize=4, **look(rank))
        axes.plot([0, 1], [0, 1], **GUIDE)
        _unit_square(axes, "probability given", "share with the finding", "Reliability (dashed: perfect)")
        return to_svg(figure, key, f"Reliability, {name}")


def scores_panel(scored: Scored, thresholds: Mapping[str, float], key: str, name: str) -> str:
    """Probabilities of scans with (upper line) and without the finding: range, middle half, median; the threshold."""
    with drawing(SIZE[0], SIZE[1]) as (figure, axes):
        for rank, (model, (labels, probabilities)) in enumerate(scored.items()):
            for kind, offset in OFFSETS.items():
                _summary_line(axes, probabilities[labels == kind], rank + offset, rank, filled=kind == 1)
            axes.vlines(thresholds[model], rank - 0.38, rank + 0.38, color=COLOURS[6], linewidth=1.2)
        places = [rank + offset for rank in range(len(scored)) for offset in OFFSETS.values()]
        axes.set_yticks(places, ["+", "−"] * len(scored))
        axes.set_ylim(len(scored) - 0.5, -0.5)
        axes.set_xlim(-0.02, 1.02)
        axes.grid(False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("probability")
        axes.set_title("Scores (grey: threshold)", loc="left")
        return to_svg(figure, key, f"Scores of scans with and without the finding, {name}")


def reliability(labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean probability and share of positives in bins of equal count, fewer than BINS where scans are few."""
    order = np.argsort(probabilities, kind="stable")
    parts = np.array_split(order, min(BINS, max(1, len(labels) // 5)))
    return tuple(np.array([values[part].mean() for part in parts]) for values in (probabilities, labels))


def thinned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most POINTS of a curve's corners, evenly along its length, both ends kept."""
    if len(x) <= POINTS:
        return x, y
    travelled = np.concatenate([[0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
    chosen = np.unique(np.searchsorted(travelled, np.linspace(0, travelled[-1], POINTS)))
    chosen = np.union1d(chosen.clip(max=len(x) - 1), [0, len(x) - 1])
    return x[chosen], y[chosen]


def has_both(labels: np.ndarray) -> bool:
    """Whether there are positives and negatives, without which a curve is undefined."""
    return 0 < labels.sum() < len(labels)


def _summary_line(axes: Axes, values: np.ndarray, place: float, rank: int, filled: bool) -> None:
    if not len(values):
        return
    colour = COLOURS[rank % len(COLOURS)]
    low, quarter, middle, three_quarters, high = np.quantile(values, [0, 0.25, 0.5, 0.75, 1])
    axes.hlines(place, low, high, color=colour, linewidth=0.9)
    axes.hlines(place, quarter, three_quarters, color=colour, linewidth=4)
    face = colour if filled else "white"
    axes.plot(middle, place, marker=look(rank)["marker"], markersize=5.5, color=colour, markerfacecolor=face)


def _unit_square(axes: Axes, x: str, y: str, title: str) -> None:
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=x, ylabel=y)
    axes.set_title(title, loc="left")
