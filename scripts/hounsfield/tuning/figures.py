"""Figures of a search: how it went, what each parameter did, and which of them mattered."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from matplotlib.axes import Axes
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState, create_trial

from hounsfield.report.figures import shortened
from hounsfield.report.svg import COLOURS, drawing, look, to_svg
from hounsfield.tuning.space import Choices, Range, Space, values_of
from hounsfield.tuning.study import BASELINE

# Of fewer trials a forest says nothing.
LEAST_FOR_IMPORTANCE = 10


@dataclass(frozen=True)
class Point:
    """A trial that has reached a rung: its values by parameter, and the metric at its last rung.

    rank: of that rung. complete: trained to the end.
    """

    number: int
    values: Mapping[str, Any]
    metric: float
    rank: int
    complete: bool


def points_of(trials: Sequence[FrozenTrial], space: Space, rungs: Sequence[int]) -> list[Point]:
    """What can be drawn: trials that have reached a rung and did not fail."""
    return [
        Point(
            trial.number,
            values_of(space, trial.params),
            trial.intermediate_values[trial.last_step],
            rungs.index(trial.last_step),
            trial.state == TrialState.COMPLETE,
        )
        for trial in trials
        if trial.intermediate_values and trial.state != TrialState.FAIL
    ]


def history_plot(points: Sequence[Point], lower_is_better: bool, metric: str, key: str) -> str:
    """The metric of each trial, a mark a rung; the line is the best so far of those trained to the end."""
    better = min if lower_is_better else max
    with drawing(5.6, 3) as (figure, axes):
        for point in points:
            axes.plot(point.number, point.metric, linestyle="", markersize=5, **_mark(point))
        complete = [point for point in points if point.complete]
        best = [better(point.metric for point in complete[: place + 1]) for place in range(len(complete))]
        axes.step([point.number for point in complete], best, where="post", color=COLOURS[6])
        for point in points:
            if point.number == BASELINE:
                axes.axhline(point.metric, color=COLOURS[6], linewidth=1, linestyle="--")
        axes.set(xlabel="trial (dashed: the configuration as it is)", ylabel=f"{metric} on validation")
        axes.xaxis.get_major_locator().set_params(integer=True)
        return to_svg(figure, key, f"{metric} of each trial, and the best so far")


def slice_plot(points: Sequence[Point], name: str, parameter: Range | Choices, metric: str, key: str) -> str:
    """The metric over one parameter, a mark a rung."""
    with drawing(2.95, 2.6) as (figure, axes):
        for point in points:
            if name in point.values:
                place = _place(point.values[name], parameter)
                axes.plot(place, point.metric, linestyle="", markersize=5, **_mark(point))
        _scale(axes, parameter)
        axes.set_ylabel(metric)
        axes.set_title(shortened(name.removeprefix("training."), 40), loc="left")
        return to_svg(figure, key, f"{metric} over {name}")


def importance_plot(importances: Mapping[str, float], key: str) -> str:
    """A bar a parameter, the most important first."""
    with drawing(5.6, 0.9 + 0.3 * len(importances)) as (figure, axes):
        axes.barh(range(len(importances)), list(importances.values()), height=0.6, color=COLOURS[0])
        axes.set_yticks(range(len(importances)), [shortened(name, 40) for name in importances])
        axes.invert_yaxis()
        axes.grid(False, axis="y")
        axes.set_xlabel("share of the variance at the first rung")
        return to_svg(figure, key, "Importance of each parameter")


def importances_of(trials: Sequence[FrozenTrial], rung: int, lower_is_better: bool) -> dict[str, float]:
    """Share of the variance at `rung` that each parameter explains (fANOVA; Hutter et al., 2014); {} of few trials.

    At the first rung all trials have been trained for as long, those that ended there and those that went on.
    """
    reached = [trial for trial in trials if rung in trial.intermediate_values and trial.number != BASELINE]
    values = [trial.intermediate_values[rung] for trial in reached]
    if len(reached) < LEAST_FOR_IMPORTANCE or min(values) == max(values):
        return {}
    study = optuna.create_study(direction="minimize" if lower_is_better else "maximize")
    for trial, value in zip(reached, values, strict=True):
        study.add_trial(create_trial(params=trial.params, distributions=trial.distributions, value=value))
    return get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))


def _mark(point: Point) -> dict:
    style = look(point.rank)
    return {"color": style["color"], "marker": style["marker"]}


def _place(value: Any, parameter: Range | Choices) -> float:
    return parameter.names.index(_name(value, parameter)) if isinstance(parameter, Choices) else value


def _name(value: Any, parameter: Choices) -> str:
    return Choices((value,)).names[0]


def _scale(axes: Axes, parameter: Range | Choices) -> None:
    if isinstance(parameter, Choices):
        axes.set_xticks(range(len(parameter.names)), [name.strip('"') for name in parameter.names])
        axes.set_xlim(-0.5, len(parameter.names) - 0.5)
        return
    if parameter.log:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_formatter(lambda value, _: "")
        margin = math.exp(0.04 * math.log(parameter.high / parameter.low))
        axes.set_xlim(parameter.low / margin, parameter.high * margin)
    else:
        margin = 0.04 * (parameter.high - parameter.low)
        axes.set_xlim(parameter.low - margin, parameter.high + margin)
