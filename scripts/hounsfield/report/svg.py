"""Figures as SVG text that follows the page: its ink and lines, light or dark, and letters that stay letters."""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito (2008), which colour-blind readers can tell apart; marks and dashes tell the lines apart in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C8C8C")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.5)), (0, (6, 1.5, 1.5, 1.5)), (0, (3, 1, 1, 1, 1, 1)))
# Stand-ins, replaced by the page's own colours; no figure uses them for anything else.
INK, LINE = "#010203", "#040506"
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.5,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "path.simplify_threshold": 0.4,
}


@contextmanager
def drawing(width: float, height: float, rows: int = 1, columns: int = 1) -> Iterator[tuple[Figure, Axes]]:
    """A figure of so many inches in the page's style, and its axes (an array if there are several)."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure, figure.subplots(rows, columns)


def look(rank: int) -> dict:
    """Colour, mark and dashes of the model with this rank."""
    return {
        "color": COLOURS[rank % len(COLOURS)],
        "marker": MARKERS[rank % len(MARKERS)],
        "linestyle": DASHES[rank % len(DASHES)],
    }


def line_look(rank: int) -> dict:
    """The same without the mark, for lines of many points."""
    return look(rank) | {"marker": ""}


def to_svg(figure: Figure, key: str, description: str) -> str:
    """The figure as an <svg> element; `key` keeps its ids apart from other figures', `description` is read aloud."""
    # The salt makes the same figure give the same text.
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": key}), warnings.catch_warnings():
        # The browser draws the letters, and has fonts for them all.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", text, flags=re.S)
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{key}-", text)
    text = text.replace(INK, "currentColor").replace(LINE, "var(--line)")
    text = re.sub(r'\b(d|x|y|transform)="[^"]*"', lambda found: _shorter(found[0]), text)
    return text.replace("<svg ", f'<svg role="img" aria-label="{escape(description)}" ', 1)


def _shorter(coordinates: str) -> str:
    """Coordinates in hundredths of a point: a third of the page's bytes, and nothing to be seen."""
    return re.sub(r"(\d+\.\d{2})\d+", r"\1", coordinates)


def legend(labels: list[str], key: str) -> str:
    """Names with their colour, mark and dashes, in a row."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(0.6 + sum(0.55 + 0.078 * len(label) for label in labels), 0.3))
        handles = [matplotlib.lines.Line2D([], [], label=label, **look(rank)) for rank, label in enumerate(labels)]
        figure.legend(handles=handles, loc="center left", ncols=len(labels), borderpad=0, handlelength=2.8)
        return to_svg(figure, key, "Legend: " + ", ".join(labels))
