"""Results for others to read: markdown and LaTeX tables, and the VLM3D challenge's metrics."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hounsfield.evaluation.metrics import make_sample, point_metrics
from hounsfield.evaluation.scored_model import ScoredModel, prepare_model
from hounsfield.evaluation.settings import EvaluationSettings
from hounsfield.files import atomic_write

SHOWN = {
    "roc_auc_macro": "AUROC",
    "average_precision_macro": "AP",
    "f1_macro": "F1",
    "sensitivity_macro": "Sensitivity",
    "specificity_macro": "Specificity",
}
LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
LATEX |= {character: f"\\{character}" for character in "&%$#_{}"}
VLM3D_METRICS = {"precision": "precision", "recall": "recall", "f1": "f1", "accuracy": "accuracy", "auroc": "roc_auc"}


def write_exports(
    predictions: Mapping[str, Mapping[int, tuple[pd.DataFrame, pd.DataFrame]]],
    tables: Mapping[str, pd.DataFrame],
    pathologies: Sequence[str],
    settings: EvaluationSettings,
    folder: Path,
) -> None:
    """Write results.md, results.tex and vlm3d_{model}_seed{seed}.json into `folder`."""
    texts = {"results.md": markdown_table(tables["models"]), "results.tex": latex_table(tables["models"])}
    for model, seeds in predictions.items():
        for seed, (val, test) in seeds.items():
            metrics = vlm3d_metrics(prepare_model(val, test, pathologies, settings), pathologies)
            texts[f"vlm3d_{model}_seed{seed}.json"] = json.dumps(metrics, indent=2, allow_nan=False) + "\n"
    for name, text in texts.items():
        with atomic_write(folder / name) as partial:
            partial.write_text(text, encoding="utf-8")


def markdown_table(models: pd.DataFrame) -> str:
    """Models by metrics, each value with its interval; names are shown as text."""
    rows = [["Model", *SHOWN.values()], ["---", *["---"] * len(SHOWN)]]
    rows += [[escape_markdown(model), *cells] for model, cells in _cells(models, "{:.3f} ({:.3f}–{:.3f})", "–")]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def latex_table(models: pd.DataFrame) -> str:
    """The same as a tabular for the booktabs package."""
    rows = [["Model", *SHOWN.values()]]
    rows += [[_latex(model), *cells] for model, cells in _cells(models, "{:.3f} ({:.3f}--{:.3f})", "--")]
    head, *body = (" & ".join(row) + r" \\" for row in rows)
    columns = "l" + "c" * len(SHOWN)
    lines = [
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        head,
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def vlm3d_metrics(scored: ScoredModel, pathologies: Sequence[str]) -> dict[str, Any]:
    """What the VLM3D challenge's evaluation writes, with this run's thresholds; undefined values are null.

    Its CRG score weighs a missed finding by (X - A) / 2A, where A of the X labels are positive.
    """
    metrics = point_metrics(make_sample(scored.test, scored.decisions))
    each = [
        {"name": name} | {key: _number(metrics.columns[ours][0, j]) for key, ours in VLM3D_METRICS.items()}
        for j, name in enumerate(pathologies)
    ]
    macro = {key: _number(metrics.overall[f"{ours}_macro"][0]) for key, ours in VLM3D_METRICS.items()}
    return {
        "classification": {"per_pathology": each, "macro": macro},
        "crg": _crg(scored.test.labels, scored.decisions),
    }


def _crg(labels: np.ndarray, decisions: np.ndarray) -> dict[str, Any]:
    tp, fn, fp = (
        int(np.sum(cases))
        for cases in ((labels == 1) & decisions, (labels == 1) & ~decisions, (labels == 0) & decisions)
    )
    total, positives = int(np.sum(~np.isnan(labels))), tp + fn
    result = {"TP": tp, "FN": fn, "FP": fp, "X": total, "A": positives}
    if positives == 0:
        return result | {"r": None, "U": (total - positives) / 2, "score_s": None, "CRG": None}
    weight, best = (total - positives) / (2 * positives), (total - positives) / 2
    score = weight * tp - weight * fn - fp
    below = 2 * best - score
    return result | {"r": weight, "U": best, "score_s": score, "CRG": best / below if below else 0.0}


def _cells(models: pd.DataFrame, form: str, undefined: str) -> Iterator:
    for model, group in models.groupby("model", sort=False):
        rows = group.set_index("metric").loc[list(SHOWN), ["value", "low", "high"]].to_numpy(np.float64)
        yield model, [_cell(row, form, undefined) for row in rows]


def _cell(row: np.ndarray, form: str, undefined: str) -> str:
    if np.isnan(row[0]):
        return undefined
    return f"{row[0]:.3f}" if np.isnan(row).any() else form.format(*row)


def escape_markdown(text: str) -> str:
    """`text` as it stands, wherever markdown or HTML would see markup in it."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\\{character}" if character in "\\|*_`[]" else character for character in escaped)


def _latex(text: str) -> str:
    return "".join(LATEX.get(character, character) for character in text)


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
