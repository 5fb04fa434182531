"""One self-contained page: which model is best, where, on whom, and how to do it again."""

import base64
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from hounsfield.files import atomic_write
from hounsfield.report.figures import curves, forest_plot, reliability, training_curves
from hounsfield.tables import read_table

SHOWN_METRICS = {
    "roc_auc_macro": "Macro AUROC",
    "roc_auc_micro": "Micro AUROC",
    "average_precision_macro": "Macro AP",
    "f1_macro": "Macro F1",
    "sensitivity_macro": "Sensitivity",
    "specificity_macro": "Specificity",
    "accuracy_micro": "Accuracy",
}
PACKAGES = ("torch", "monai", "scikit-learn", "numpy", "pandas", "snakemake")
MACRO = "(macro)"


def write_report(
    results: Path, out_html: Path, config: Mapping[str, Any], models: Sequence[str], seeds: Sequence[int]
) -> None:
    """Read the tables below `results` and write the page. Raises TableError if one is missing."""
    first = seeds[0]
    scores = {
        model: read_table(results / f"metrics/{model}/seed{first}/per_pathology.tsv", ["pathology"]) for model in models
    }
    tests = {
        model: read_table(results / f"predictions/{model}/seed{first}/test.tsv", ["volume", "scan", "patient"])
        for model in models
    }
    scans = {model: _by_scan(table, config) for model, table in tests.items()}
    runs = {
        f"{model}, seed {seed}": results / f"models/{model}/seed{seed}/history.tsv"
        for model in models
        for seed in seeds
    }
    histories = {run: read_table(path) for run, path in runs.items()}
    pathologies = config["cohort"]["pathologies"]
    overall = read_table(results / "comparison/models.tsv", ["model", "metric"])
    pairs = read_table(results / "comparison/pairs.tsv", ["model_a", "model_b", "pathology", "metric"])
    content = {
        "name": config["name"],
        "seeds": seeds,
        "metrics": SHOWN_METRICS,
        "overall": {model: group.set_index("metric").to_dict("index") for model, group in overall.groupby("model")},
        "answer": best_model(overall, pairs),
        "pairs": pairs[pairs["metric"] == "roc_auc"].to_dict("records"),
        "scores": {model: table.to_dict("records") for model, table in scores.items()},
        "summary": read_table(results / "cohort/summary.tsv", ["split", "label"]).to_dict("records"),
        "excluded": read_table(results / "cohort/excluded.tsv", ["volume", "reason", "detail"]).to_dict("records"),
        "examples": {model: _examples(results / "explanations" / model) for model in models},
        "cost": [_cost(run, table) for run, table in histories.items()],
        "figures": {
            "forest": Markup(forest_plot(scores)),
            "curves": [Markup(curves(scans, part)) for part in _rows_of(pathologies, 6)],
            "reliability": Markup(reliability(scans, pathologies)),
            "training": Markup(training_curves(histories)),
        },
        "config": yaml.safe_dump(config, sort_keys=False, allow_unicode=True),
        "versions": {"python": platform.python_version()} | {name: metadata.version(name) for name in PACKAGES},
        "machine": platform.platform(),
    }
    with atomic_write(out_html) as partial:
        partial.write_text(render(content), encoding="utf-8")


def render(content: Mapping[str, Any]) -> str:
    """The page's HTML; everything that is not marked as markup is escaped."""
    environment = Environment(
        loader=PackageLoader("hounsfield.report", "."), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["number"] = format_number
    files = resources.files("hounsfield.report")
    parts = {"css": "page.css", "js": "page.js"}
    embedded = {key: Markup(files.joinpath(name).read_text(encoding="utf-8")) for key, name in parts.items()}
    return environment.get_template("page.html").render(**content, **embedded)


def format_number(value: float | None, digits: int = 3) -> str:
    """A number with so many decimals; an en dash for what is undefined."""
    return "–" if value is None or pd.isna(value) else f"{value:.{digits}f}"


def best_model(overall: pd.DataFrame, pairs: pd.DataFrame) -> dict[str, Any]:
    """The model with the highest macro AUROC, and its difference from the next one with interval and p value."""
    macro = overall[overall["metric"] == "roc_auc_macro"].dropna(subset="value").sort_values("value", ascending=False)
    if macro.empty:
        return {"model": None, "next": None}
    answer = {**macro.iloc[0].to_dict(), "next": None}
    if len(macro) > 1:
        best, second = macro["model"].iloc[:2]
        pair = pairs[(pairs["metric"] == "roc_auc") & (pairs["pathology"] == MACRO)]
        pair = pair[pair["model_a"].isin([best, second]) & pair["model_b"].isin([best, second])].iloc[0]
        sign = 1 if pair["model_a"] == best else -1
        low, high = sorted([sign * pair["low"], sign * pair["high"]])
        answer["next"] = {"model": second, "difference": sign * pair["difference"], "low": low, "high": high}
        answer["next"]["p"] = pair["p"]
    return answer


def _by_scan(table: pd.DataFrame, config: Mapping[str, Any]) -> pd.DataFrame:
    numbers = [column for column in table if column.startswith(("label ", "logit "))]
    return table.groupby(config["evaluation"]["level"])[numbers].mean()


def _examples(folder: Path) -> list[dict[str, Any]]:
    rows = read_table(folder / "index.tsv", ["pathology", "volume", "outcome", "method", "picture"]).to_dict("records")
    for row in rows:
        data = base64.b64encode((folder / row["picture"]).read_bytes()).decode()
        row["source"] = f"data:image/png;base64,{data}"
    return rows


def _cost(run: str, history: pd.DataFrame) -> dict[str, Any]:
    last = history.iloc[-1]
    return {
        "run": run,
        "epochs": len(history),
        "minutes": history["seconds"].sum() / 60,
        "rate": history["samples_per_second"].median(),
        "waiting": history["data_wait_share"].mean(),
        "memory": last["peak_memory_mb"] / 1024,
        "gpu_memory": last["peak_gpu_memory_mb"] / 1024,
    }


def _rows_of(names: Sequence[str], count: int) -> list[Sequence[str]]:
    return [names[first : first + count] for first in range(0, len(names), count)]
