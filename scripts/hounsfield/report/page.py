"""One self-contained page: which model is best, where, on whom, and how to do it again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from markupsafe import Markup
from scipy.special import expit, logit

from hounsfield.evaluation.settings import EvaluationSettings
from hounsfield.files import atomic_write
from hounsfield.layout import RunFolder
from hounsfield.report import costs, curves, environment, extras, figures, sections, subgroups
from hounsfield.report.answers import best_first, best_model, caveats, verdict
from hounsfield.report.pictures import embedded
from hounsfield.report.rendering import render
from hounsfield.report.results import Results, read_results, scored
from hounsfield.report.settings import ReportSettings
from hounsfield.report.svg import legend
from hounsfield.report.tables import Table, decimal, download_of


@dataclass(frozen=True)
class Example:
    """A scan that is shown: its picture and what is said of it."""

    source: str
    pathology: str
    outcome: str
    volume: str
    probability: str
    verdict: str
    method: str


@dataclass(frozen=True)
class Details:
    """One pathology's figures and counts."""

    name: str
    legend: Markup
    figures: list[Markup]
    counts: Table


def write_report(
    results: Path,
    out_html: Path,
    config: Mapping[str, Any],
    models: Sequence[str],
    seeds: Sequence[int],
    written: Mapping[str, Any] | None = None,
) -> None:
    """Read the tables and pictures below `results` and write the page. Raises TableError if one is missing.

    written: the configuration to run again, where `config` is that of a cohort laid over it.
    """
    settings = ReportSettings.from_config(config.get("report", {}))
    evaluation = EvaluationSettings.from_config(config.get("evaluation", {}))
    found = read_results(Path(results), config, models, seeds)
    content = {
        "name": config["name"],
        "seeds": list(seeds),
        "level": evaluation.level,
        "confidence": evaluation.confidence,
        **_answer(found),
        **_scores(found, evaluation, settings),
        **_cohort(found, settings),
        **_training(found),
        **_subgroups(found, settings),
        **_beside(found, evaluation, settings),
        "examples": _examples(found),
        "pointing": extras.pointing_table(found),
        **_again(found, written or config, evaluation),
    }
    with atomic_write(out_html) as partial:
        partial.write_text(render(content), encoding="utf-8")


def _again(found: Results, config: Mapping[str, Any], evaluation: EvaluationSettings) -> dict[str, Any]:
    text = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
    return {
        "config": text,
        "config_download": download_of(text, f"{config['name']}.yaml", "application/yaml"),
        "split_seed": config.get("seed", 0),
        "resampling_seed": evaluation.seed,
        "versions": environment.versions(),
        "machine": environment.machine(),
        "commit": environment.code_version(Path(__file__).parent),
        "digests": environment.digests(found.folder, found.runs),
        "stages": costs.stages_table(found),
        "total_time": costs.total_time(found),
    }


def _answer(found: Results) -> dict[str, Any]:
    best = best_model(found)
    return {"best": best, "caveats": caveats(found, best), "test": _splits(found).get("test")}


def _scores(found: Results, evaluation: EvaluationSettings, settings: ReportSettings) -> dict[str, Any]:
    first = found.first
    pairs = found.comparison["pairs"]
    pairs = pairs[pairs["metric"] == "roc_auc"]
    return {
        # One for each place, as ids must not repeat.
        "legends": {
            place: Markup(legend(list(models), f"{place}-legend"))
            for place, models in (("all", first), ("training", found.histories))
        },
        "models": sections.models_table(found, evaluation.confidence),
        "pairs": sections.pairs_table(found),
        "seeds_table": sections.seeds_table(found),
        "differences": Markup(figures.difference_plot(pairs, "differences")) if len(pairs) else None,
        "overview": Markup(figures.overview_plot(extras.overview(found), list(first), "overview")),
        "forests": [Markup(figures.forest_plot(first, metric, metric)) for metric in figures.METRIC_NAMES],
        "matrix": sections.matrix_table(found, "roc_auc"),
        "by_model": sections.pathology_tables(found),
        "details": [_details(found, name, place, evaluation.level) for place, name in enumerate(found.pathologies)],
        "others": sections.other_tables(found, settings.max_rows),
    }


def _details(found: Results, name: str, place: int, level: str) -> Details:
    pairs = scored(found, name, level)
    thresholds = {model: sections.threshold_of(found, model, name) for model in pairs}
    panels = [
        curves.roc_panel(pairs, f"roc{place}", name),
        curves.precision_recall_panel(pairs, f"pr{place}", name),
        curves.reliability_panel(pairs, f"reliability{place}", name),
        curves.scores_panel(pairs, thresholds, f"scores{place}", name),
    ]
    names = Markup(legend(list(pairs), f"legend{place}"))
    return Details(name, names, [Markup(panel) for panel in panels], sections.confusion_table(found, name, level))


def _cohort(found: Results, settings: ReportSettings) -> dict[str, Any]:
    splits = _splits(found)
    used = sum(split["volumes"] for split in splits.values())
    left_out = found.excluded["volume"].nunique()
    reasons = found.excluded.drop_duplicates("volume")["reason"].value_counts()
    return {
        "splits": splits,
        "flow": {
            "all": used + left_out,
            "used": used,
            "left_out": left_out,
            "reasons": {sections.spoken_reason(name): count for name, count in reasons.items()},
        },
        "labels": sections.cohort_table(found),
        "exclusions": sections.exclusion_tables(found, settings.max_rows),
    }


def _splits(found: Results) -> dict[str, dict[str, int]]:
    rows = found.summary.drop_duplicates("split").set_index("split")[["patients", "scans", "volumes"]]
    return {split: {key: int(value) for key, value in row.items()} for split, row in rows.to_dict("index").items()}


def _training(found: Results) -> dict[str, Any]:
    panels = figures.training_panels(found.histories)
    return {"training": [Markup(panel) for panel in panels.values()], "cost": costs.training_table(found)}


def _subgroups(found: Results, settings: ReportSettings) -> dict[str, Any]:
    drawn = subgroups.figure(found)
    return {
        "subgroups": subgroups.macro_table(found),
        "subgroup_figure": drawn and Markup(drawn),
        "subgroup_details": subgroups.pathology_table(found, settings.max_rows),
    }


def _beside(found: Results, evaluation: EvaluationSettings, settings: ReportSettings) -> dict[str, Any]:
    return {
        "quality_and_cost": costs.quality_and_cost_table(found),
        "external": extras.external_tables(found, sections.DETAILED),
        "ensembles": extras.ensembles_table(found, sections.OVERALL),
        "folds": extras.folds_table(found, sections.OVERALL),
        "protocols": extras.protocols_table(found),
        "calibration": extras.calibration_table(found, evaluation.calibration, settings.max_rows),
    }


def _examples(found: Results) -> dict[str, dict[str, list[Example]]]:
    """Pictures by model and pathology."""
    paths, rows = [], []
    for model, table in found.examples.items():
        for row in table.to_dict("records"):
            paths.append(RunFolder(found.folder).explanations(model) / row["picture"])
            rows.append((model, row))
    shown: dict[str, dict[str, list[Example]]] = {model: {} for model in best_first(found) if model in found.examples}
    for source, (model, row) in zip(embedded(paths), rows, strict=True):
        threshold = sections.threshold_of(found, model, row["pathology"])
        probability = float(expit(found.calibrated(model, row["pathology"], logit(row["probability"]))))
        example = Example(
            source=source,
            pathology=row["pathology"],
            outcome=row["outcome"],
            volume=row["volume"],
            probability=decimal(probability, 2),
            verdict=verdict(row["label"], probability, threshold),
            method=row["method"],
        )
        shown[model].setdefault(example.pathology, []).append(example)
    return shown
