"""What may be changed, and how far: a parameter is a dotted key of a model's block and a range or a list of choices."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hounsfield.config import check_config, merged
from hounsfield.errors import ConfigError
from hounsfield.settings import settings_from
from hounsfield.tuning.settings import TuningSettings

# What training starts from counts as given, and how long it goes is what the rungs say.
NOT_SEARCHED = ("training.epochs", "training.gpu", "training.nodes")

# Learning rates and decays about those of published recipes for AdamW (Loshchilov and Hutter, 2019; Steiner et al.,
# 2022, for transformers, with more decay and dropout); geometry and noise between none and twice the defaults.
COMMON = {
    "training.learning_rate": {"low": 3e-5, "high": 3e-3, "log": True},
    "training.weight_decay": {"low": 1e-5, "high": 0.1, "log": True},
    "training.loss.kind": {"choices": ["bce", "focal", "asymmetric"]},
    "training.augmentation.rotation": {"low": 0.0, "high": 20.0},
    "training.augmentation.translation": {"low": 0.0, "high": 20.0},
    "training.augmentation.scale": {"choices": [[1.0, 1.0], [0.9, 1.1], [0.8, 1.2]]},
    "training.augmentation.noise": {"low": 0.0, "high": 40.0},
}
OWN = {
    "densenet3d": {"options.dropout_prob": {"low": 0.0, "high": 0.3}},
    "slices2d": {"options.slab": {"choices": [1, 3, 5]}},
    "vit3d": {
        "training.learning_rate": {"low": 1e-5, "high": 1e-3, "log": True},
        "training.weight_decay": {"low": 1e-4, "high": 0.3, "log": True},
        "options.dropout_rate": {"low": 0.0, "high": 0.3},
    },
}


@dataclass(frozen=True)
class Range:
    """From `low` to `high`, both included; log: drawn evenly in its logarithm. step: only low + so many steps."""

    low: float
    high: float
    log: bool = False
    step: float | None = None

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are drawn."""
        return all(isinstance(value, int) for value in (self.low, self.high, self.step))

    @property
    def samples(self) -> tuple[float, ...]:
        """Values that are allowed if all are: both ends, and a fraction if fractions are drawn."""
        return (self.low, self.high) if self.whole else (self.low, self.high, self.low + (self.high - self.low) / 7.3)


@dataclass(frozen=True)
class Choices:
    """One of some values, of any kind; Optuna knows them by their JSON."""

    choices: tuple[Any, ...]

    @property
    def samples(self) -> tuple[Any, ...]:
        """All of them."""
        return self.choices

    @property
    def names(self) -> list[str]:
        """The JSON of each."""
        return [json.dumps(choice) for choice in self.choices]


Space = Mapping[str, Range | Choices]


def search_space(architecture: str, *written: Mapping[str, Any]) -> Space:
    """The architecture's own space with the blocks `written` laid over it, a parameter at a time.

    A parameter that is set to null is left as the configuration has it. Raises ConfigError for what cannot be searched.
    """
    layers = [COMMON, OWN.get(architecture, {}), *written]
    blocks = {name: block for layer in layers for name, block in layer.items()}
    space = {name: _parameter(name, block) for name, block in sorted(blocks.items()) if block is not None}
    if not space:
        raise ConfigError("config: tune.space: every parameter is null; leave one to search, or do without the search")
    return space


def model_space(config: Mapping[str, Any], model: str) -> Space:
    """The space of a model of the whole configuration. Raises ConfigError."""
    block = config["models"][model]
    return search_space(block["architecture"], config["tune"]["space"], block.get("tune", {}).get("space", {}))


def check_comparable(metric: str, space: Space) -> None:
    """Raise ConfigError if trials of the space would be compared by a loss that is not the same for all of them."""
    if metric == "loss" and any(name.startswith("training.loss") for name in space):
        raise ConfigError(
            "config: tune.metric: loss cannot compare different losses; give training.loss.kind: null in tune.space"
        )


def check_tuning(config: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    """Raise ConfigError if the search cannot be, or a space holds a value that the configuration's `schema` forbids."""
    models, settings = config["models"], TuningSettings.from_config(config["tune"])
    spaces = {model: model_space(config, model) for model in models}
    for space in spaces.values():
        check_comparable(settings.metric, space)
    for place in range(max(len(parameter.samples) for space in spaces.values() for parameter in space.values())):
        blocks = {}
        for model, space in spaces.items():
            values = {name: each.samples[place % len(each.samples)] for name, each in space.items()}
            blocks[model] = with_values(models[model], values)
        try:
            check_config({**config, "models": blocks}, schema)
        except ConfigError as error:
            raise ConfigError(str(error).replace("config: models.", "config: tune.space: models.")) from None


def with_values(block: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """A model's block with the value of each dotted key set."""
    changed = dict(block)
    for name, value in values.items():
        nested = _thawed(value)
        for key in reversed(name.split(".")):
            nested = {key: nested}
        changed = merged(changed, nested)
    return changed


def values_of(space: Space, drawn: Mapping[str, Any]) -> dict[str, Any]:
    """What Optuna has drawn, choices as themselves."""
    return {name: json.loads(value) if isinstance(space[name], Choices) else value for name, value in drawn.items()}


def _parameter(name: str, block: Any) -> Range | Choices:
    where = f"tune.space.{name}"
    if name in NOT_SEARCHED or not (name == "variant" or name.startswith(("training.", "options."))):
        raise ConfigError(f"config: {where}: cannot be searched; give keys such as training.learning_rate")
    kind = Choices if "choices" in block else Range
    parameter = settings_from(kind, block, where)
    problem = next(_problems(parameter), None)
    if problem:
        raise ConfigError(f"config: {where}: {problem}")
    return parameter


def _problems(parameter: Range | Choices) -> Iterator[str]:
    if isinstance(parameter, Choices):
        if len(set(parameter.names)) < max(1, len(parameter.choices)):
            yield "choices must be one or more values, each once"
        return
    if not parameter.low < parameter.high:
        yield f"low, {parameter.low}, must be below high, {parameter.high}"
    if parameter.log and (parameter.low <= 0 or parameter.step is not None):
        yield "log needs a low above 0, and no step"
    if parameter.step is not None and parameter.step <= 0:
        yield f"step, {parameter.step}, must be above 0"


def _thawed(value: Any) -> Any:
    return [_thawed(item) for item in value] if isinstance(value, tuple) else value
