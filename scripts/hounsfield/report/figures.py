"""Figures as SVG text, in colours that a colour-blind reader can tell apart (Okabe and Ito, 2008)."""

import io
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve, roc_curve

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
STYLE = {
    "svg.fonttype": "path",
    "svg.hashsalt": "hounsfield",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "white",
}


def forest_plot(tables: Mapping[str, pd.DataFrame]) -> str:
    """AUROC of each pathology with its interval, a row a pathology and a mark a model (tables of per_pathology)."""
    names = next(iter(tables.values()))["pathology"].tolist()
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.5, 0.9 + 0.36 * len(names) * max(1, len(tables) / 2)), layout="constrained")
        axes = figure.subplots()
        for rank, (model, table) in enumerate(tables.items()):
            place = np.arange(len(names)) + (rank - (len(tables) - 1) / 2) * 0.22
            value, low, high = (table[column].to_numpy(float) for column in ("roc_auc", "roc_auc_low", "roc_auc_high"))
            bars = np.vstack([value - low, high - value]).clip(min=0)
            style = {"fmt": MARKERS[rank % len(MARKERS)], "color": COLOURS[rank % len(COLOURS)], "label": model}
            axes.errorbar(value, place, xerr=bars, markersize=5, capsize=2, linewidth=1.2, **style)
        axes.axvline(0.5, color="#777777", linewidth=0.8, linestyle="--")
        axes.set_yticks(range(len(names)), [_plain(name) for name in names])
        axes.invert_yaxis()
        axes.set_xlabel("AUROC on the test split, with interval (dashed: chance)")
        figure.legend(loc="outside upper left", ncols=4, frameon=False)
        return to_svg(figure)


def curves(predictions: Mapping[str, pd.DataFrame], pathologies: Sequence[str]) -> str:
    """ROC and precision-recall curves, a column a pathology, with the prevalence as a dashed line (scan scores)."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(2.3 * len(pathologies), 4.8), layout="constrained")
        panels = figure.subplots(2, len(pathologies), squeeze=False)
        for (top, bottom), name in zip(panels.T, pathologies, strict=True):
            for rank, (model, table) in enumerate(predictions.items()):
                known = table[f"label {name}"].notna()
                label, score = table.loc[known, f"label {name}"], table.loc[known, f"logit {name}"]
                if label.nunique() < 2:
                    continue
                colour = COLOURS[rank % len(COLOURS)]
                false, true, _ = roc_curve(label, score)
                precision, recall, _ = precision_recall_curve(label, score)
                top.step(false, true, where="post", color=colour, label=model, linewidth=1.2)
                bottom.step(recall, precision, where="post", color=colour, linewidth=1.2)
                bottom.axhline(label.mean(), color="#777777", linewidth=0.8, linestyle="--")
            top.plot([0, 1], [0, 1], color="#777777", linewidth=0.8, linestyle="--")
            top.set_title(_plain(name), fontsize=9, wrap=True)
            top.set_xlabel("1 - specificity")
            bottom.set_xlabel("recall")
            for axes in (top, bottom):
                axes.set(xlim=(0, 1), ylim=(0, 1.02), aspect="equal")
        panels[0, 0].set_ylabel("sensitivity")
        panels[1, 0].set_ylabel("precision")
        handles, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=4, frameon=False)
        return to_svg(figure)


def reliability(predictions: Mapping[str, pd.DataFrame], pathologies: Sequence[str], bins: int = 8) -> str:
    """How often scans with a given probability have the finding, all pathologies pooled, in bins of equal count."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(3.6, 3.6), layout="constrained")
        axes = figure.subplots()
        for rank, (model, table) in enumerate(predictions.items()):
            label = table[[f"label {name}" for name in pathologies]].to_numpy(float).ravel()
            logit = table[[f"logit {name}" for name in pathologies]].to_numpy(float).ravel()
            probability = 1 / (1 + np.exp(-logit[~np.isnan(label)]))
            label = label[~np.isnan(label)]
            parts = np.array_split(np.argsort(probability), bins)
            x, y = (np.array([values[part].mean() for part in parts if len(part)]) for values in (probability, label))
            style = {"marker": MARKERS[rank % len(MARKERS)], "color": COLOURS[rank % len(COLOURS)], "label": model}
            axes.plot(x, y, markersize=4, linewidth=1.2, **style)
        axes.plot([0, 1], [0, 1], color="#777777", linewidth=0.8, linestyle="--")
        axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="probability given", ylabel="share with the finding")
        axes.legend(frameon=False)
        return to_svg(figure)


def training_curves(histories: Mapping[str, pd.DataFrame]) -> str:
    """Loss, macro AUROC on validation, and learning rate of each run, as logged."""
    panels = (("loss", ""), ("val_roc_auc_macro", "macro AUROC, validation"), ("learning_rate", "learning rate"))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 2.8), layout="constrained")
        for axes, (column, title) in zip(figure.subplots(1, 3), panels, strict=True):
            for rank, (run, table) in enumerate(histories.items()):
                colour = COLOURS[rank % len(COLOURS)]
                epoch = table["epoch"] + 1
                if column == "loss":
                    axes.plot(epoch, table["train_loss"], color=colour, linewidth=1.2, linestyle=":")
                    axes.plot(epoch, table["val_loss"], color=colour, linewidth=1.2, label=run)
                else:
                    axes.plot(epoch, table[column], color=colour, linewidth=1.2)
            axes.set_xlabel("epoch")
            axes.set_title(title or "loss (dotted: training, solid: validation)", fontsize=9)
        figure.legend(loc="outside lower center", ncols=4, frameon=False)
        return to_svg(figure)


def to_svg(figure: Figure) -> str:
    """The figure as an <svg> element, without the XML prologue."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _plain(name: str) -> str:
    """Text as it is: matplotlib would take dollars for formulas."""
    return name.replace("$", r"\$")
