"""What a best.pth or final.pth must hold before anything is made of it: a checkpoint may come from a stranger."""

import math
import os
from collections.abc import Callable, Mapping
from typing import Any

import torch

from hounsfield.errors import CheckpointError, HounsfieldError
from hounsfield.training.settings import TrainingSettings
from hounsfield.volumes.settings import PreprocessingSettings

# Far beyond any network, so that none takes all memory or years to make.
LARGEST_OPTION, LARGEST_GRID = 100_000, 2**32
AMP, LAYOUTS = ("auto", "off", "bf16", "fp16"), ("auto", True, False)


def check_content(content: Mapping[str, Any], path: str | os.PathLike) -> None:
    """Raise CheckpointError, naming the field, unless `content` is that of a trained network."""
    absent = [key for key in REQUIRED if key not in content]
    if absent:
        raise CheckpointError(f"{path}: holds no trained network ({absent[0]} is missing); give best.pth or final.pth")
    for key, (meant, holds) in (REQUIRED | OPTIONAL).items():
        if key in content and not holds(content[key]):
            raise CheckpointError(f"{path}: its field {key!r} is not {meant}; give a checkpoint as training wrote it")
    model = content["model"]
    if list(model["shape"]) != list(content["preprocessing"]["shape"]):
        raise CheckpointError(f"{path}: its network is for volumes of another shape than its preprocessing makes")
    if model["in_channels"] != len(content["windows"]):
        raise CheckpointError(f"{path}: its network is for another number of windows than it names")
    asking = next((key for key, value in model["options"].items() if value and _fetches(key)), None)
    if asking is not None:
        raise CheckpointError(f"{path}: its option {asking!r} would have weights fetched from elsewhere; it is refused")


def own_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a network whose weights are its own: without those that say where to fetch others."""
    return {key: value for key, value in options.items() if not _fetches(key)}


def _fetches(key: str) -> bool:
    return "pretrained" in key or "url" in key


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _whole(value: Any, highest: float = LARGEST_OPTION) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= highest


def _list_of(holds: Callable[[Any], bool], count: int | None = None) -> Callable[[Any], bool]:
    return lambda value: (
        isinstance(value, list | tuple) and all(map(holds, value)) and (len(value) == count if count else bool(value))
    )


def _is_window(value: Any) -> bool:
    return _list_of(_number, 2)(value) and value[0] < value[1]


def _are_names(value: Any) -> bool:
    listed = _list_of(lambda name: isinstance(name, str) and name.strip() == name != "" and name.isprintable())(value)
    return listed and len(set(value)) == len(value)


def _is_shape(value: Any) -> bool:
    return _list_of(_whole, 3)(value) and math.prod(value) <= LARGEST_GRID


def _is_plain(value: Any, depth: int = 3) -> bool:
    """Numbers, names, and short lists and mappings of them."""
    if isinstance(value, Mapping):
        return depth > 0 and len(value) < 100 and all(map(_is_plain, value.values(), [depth - 1] * len(value)))
    if isinstance(value, list | tuple):
        return depth > 0 and len(value) < 100 and all(_is_plain(item, depth - 1) for item in value)
    if isinstance(value, str):
        return len(value) < 200
    return value is None or isinstance(value, bool) or (_number(value) and abs(value) <= LARGEST_OPTION)


def _is_model(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and set(value) <= {"architecture", "variant", "options", "in_channels", "shape", "weights"}
        and all(isinstance(value.get(key), str) for key in ("architecture", "variant"))
        and isinstance(value.get("options"), Mapping)
        and all(isinstance(key, str) for key in value["options"])
        and _is_plain(value["options"])
        and _whole(value.get("in_channels"), 100)
        and _is_shape(value.get("shape"))
    )


def _is_preprocessing(value: Any) -> bool:
    if not isinstance(value, Mapping) or not _is_shape(value.get("shape")):
        return False
    if not _list_of(lambda mm: _number(mm) and mm > 0, 3)(value.get("spacing")):
        return False
    if not (value.get("window") is None or _is_window(value["window"])):
        return False
    if not isinstance(value.get("antialias", False), bool):
        return False
    try:
        PreprocessingSettings.from_config(value)
    except (HounsfieldError, TypeError):
        return False
    return True


def _is_inference(value: Any) -> bool:
    if not isinstance(value, Mapping) or not set(value) <= set(TrainingSettings.__dataclass_fields__):
        return False
    return (
        _whole(value.get("batch_size", 1))
        and value.get("amp", "auto") in AMP
        and value.get("channels_last", "auto") in LAYOUTS
        and isinstance(value.get("test_time_flip", False), bool)
    )


def _are_tensors(value: Any) -> bool:
    named = isinstance(value, Mapping) and len(value) > 0
    return named and all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in value.items())


def _are_metrics(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(k, str) and isinstance(v, float | int) for k, v in value.items()
    )


REQUIRED = {
    "model": ("the settings of a network", _is_model),
    "pathologies": ("a list of different names", _are_names),
    "preprocessing": ("the settings of a grid", _is_preprocessing),
    "windows": ("a list of ascending pairs of HU", _list_of(_is_window)),
    "weights": ("tensors by name", _are_tensors),
}
OPTIONAL = {
    "inference": ("settings of inference", _is_inference),
    "epoch": ("a number from 0", lambda value: value == 0 or _whole(value, 10**9)),
    "metrics": ("numbers by name", _are_metrics),
}
