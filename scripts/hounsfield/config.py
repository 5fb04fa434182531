"""Checking the configuration: one line a problem, before any work."""

import copy
import difflib
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import ValidationError

from hounsfield.errors import ConfigError
from hounsfield.layout import RunFolder
from hounsfield.user_tables import read_header

# Keys that decide no result, but how fast, where and by how many it is made: a change of one retrains nothing.
# Whatever is not listed decides. (Of several GPUs, sums are rounded in another order.)
NEUTRAL = (
    "checkpoints",
    "external",
    "input",
    "internal",
    "store",
    "threads",
    "wandb",
    "training.cache_gb",
    "training.checkpoint_minutes",
    "training.gpu",
    "training.nodes",
    "tune.workers",
)


# Blocks whose keys are values of a table, and so may be numbers, or what YAML makes of words.
KEYED_BY_VALUES = ("cohort.uncertain", "split.values")
YAML_NAMES = {"True": "true", "False": "false", "None": "null"}


def config_schema() -> dict[str, Any]:
    """The configuration's JSON schema: `workflow/schemas/config.schema.yaml`, linked beside this module."""
    return yaml.safe_load(Path(__file__).with_name("config.schema.yaml").read_text(encoding="utf-8"))


def complete_config(config: dict[str, Any]) -> dict[str, Any]:
    """A copy of the configuration, with the schema's default for each key that it lacks. Raises ConfigError."""
    schema, config = config_schema(), as_written(config)
    check_config(config, schema)
    complete = copy.deepcopy(config)
    _Completing(schema).validate(complete)
    return complete


def as_written(config: Mapping[str, Any]) -> dict[str, Any]:
    """A copy in which `amp: off` is the word again, and keys that stand for words of a table are text.

    YAML makes of `off` what it makes of `false`, and of a key 1 a number.
    """
    plain = copy.deepcopy(dict(config))
    for place in KEYED_BY_VALUES:
        outer, inner = place.split(".")
        block = plain.get(outer)
        if isinstance(block, dict) and isinstance(block.get(inner), dict):
            block[inner] = {YAML_NAMES.get(repr(key), str(key)): value for key, value in block[inner].items()}
    models = plain.get("models")
    blocks = [plain, *(models.values() if isinstance(models, dict) else ())]
    for block in blocks:
        training = block.get("training") if isinstance(block, dict) else None
        if isinstance(training, dict) and training.get("amp") is False:
            training["amp"] = "off"
    return plain


def check_unique_keys(path: str | os.PathLike) -> None:
    """Raise ConfigError for a key that stands twice in one block of a configuration file: only the last would count."""
    try:
        root = yaml.compose(Path(path).read_text(encoding="utf-8"), yaml.SafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML ({' '.join(str(error).split())})") from error
    waiting, loader = [("", root)], yaml.SafeLoader("")
    while waiting:
        place, node = waiting.pop()
        pairs = node.value if isinstance(node, yaml.MappingNode) else ()
        seen: dict[Any, str] = {}
        for key, value in pairs:
            name = f"{place}.{key.value}" if place else str(key.value)
            plain = isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge"
            means = loader.construct_object(key) if plain else key  # a merge may stand twice
            if means in seen:
                told = f"{name} is given twice; remove one of the two"
                if seen[means] != key.value:  # as yes and true, or yes and 1
                    told = f"{name} is the same to YAML as {seen[means]}; write both in quotes"
                raise ConfigError(f"{path}: line {key.start_mark.line + 1}: {told}")
            seen[means] = str(key.value)
            waiting.append((name, value))
        waiting += [(place, item) for item in node.value] if isinstance(node, yaml.SequenceNode) else []


def _odd_values(block: Any, place: str = "") -> Iterator[str]:
    """A line for each key that is no text, name that ends a line, and number that is none."""
    if isinstance(block, Mapping):
        for key, value in block.items():
            name = f"{place}.{key}" if place else str(key)
            if not isinstance(key, str) and place not in KEYED_BY_VALUES:
                yield f"{name}: is no text; write it in quotes, '{key}'"
            elif isinstance(key, str) and not key.isprintable():
                yield f"{place}: the name {key!r} has a character that cannot be seen; take it out"
            yield from _odd_values(value, name)
    elif isinstance(block, list | tuple):
        for value in block:
            yield from _odd_values(value, place)
    elif isinstance(block, float) and not math.isfinite(block):
        yield f"{place}: {block} is no number to compute with; give another"
    elif isinstance(block, str) and place in ("name", "cohort.pathologies") and not block.isprintable():
        yield f"{place}: {block!r} has a character that cannot be seen; take it out"


def check_config(config: dict[str, Any], schema: dict[str, Any]) -> None:
    """Raise ConfigError with a line for each key that is unknown, missing, of the wrong type or out of range."""
    odd = list(_odd_values(config))
    if odd:
        raise ConfigError("\n".join(f"config: {' '.join(line.split())}" for line in odd))
    problems = [line for error in Draft202012Validator(schema).iter_errors(config) for line in _explain(error)]
    if problems:
        # A key may hold anything, also what ends a line.
        lines = sorted({" ".join(line.split()) for line in problems})
        raise ConfigError("\n".join(f"config: {line}" for line in lines))
    several = config.get("training", {}).get("nodes", 1) > 1
    for name, block in config["models"].items():
        own = set(block.get("training", {})) & ({"nodes", "gpu"} if several else {"nodes"})
        if own:
            raise ConfigError(f"config: models.{name}.training.{min(own)}: set it in the training block, for all")
        frozen = merged(config.get("training", {}), block.get("training", {})).get("freeze")
        if frozen and not block.get("weights"):
            raise ConfigError(
                f"config: models.{name}: training.freeze would keep random parts; give `weights`, or no freeze"
            )
    check_starts(config)
    if config.get("external") and config.get("input"):
        raise ConfigError("config: input: new scans are scored without external; give one of the two")


def check_starts(config: dict[str, Any]) -> None:
    """Raise ConfigError if the files that a training starts from are not there, or if a model has two of them."""
    for name, block in config["models"].items():
        again = merged(config.get("training", {}), block.get("training", {})).get("continue_from")
        if again and block.get("weights"):
            raise ConfigError(f"config: models.{name}: give `weights` or training.continue_from, not both")
        for seed in config.get("seeds", [0]):
            starts = {"weights": block.get("weights"), "training.continue_from": start_of(again, name, seed)}
            for key, path in starts.items():
                if path and not is_address(path) and not Path(path).is_file():
                    raise ConfigError(f"config: models.{name}.{key}: there is no file {path}; give a checkpoint")


def start_of(path: str | None, model: str, seed: int | str) -> str | None:
    """A model's own file of a path that may hold {model} and {seed}."""
    return path and path.replace("{model}", model).replace("{seed}", str(seed))


def check_tables(config: dict[str, Any]) -> None:
    """Raise ConfigError if a label or metadata table is missing, or if the label tables lack a pathology.

    Raises TableError for a table that cannot be read.
    """
    cohort = config["cohort"]
    for path in [*cohort["labels"], *cohort.get("metadata", [])]:
        if not is_address(path) and not Path(path).is_file():
            raise ConfigError(f"config: cohort: {path} does not exist; give the path of the table")
    if not Path(cohort["volumes"]).is_dir():
        raise ConfigError(f"config: cohort.volumes: {cohort['volumes']} is not a folder; give that of the volumes")
    if cohort.get("label_mapping"):
        return
    for path in cohort["labels"]:
        if is_address(path):
            continue  # fetched for the manifest
        header = read_header(path)
        missing = [name for name in cohort["pathologies"] if name not in header]
        if missing:
            raise ConfigError(
                f"config: cohort.pathologies: {path} has no column {missing[0]!r}{_suggest(missing[0], header)}"
            )


def check_input(config: dict[str, Any]) -> None:
    """Raise ConfigError if `input` is no folder, or has a name that results cannot have."""
    folder = Path(config["input"]).resolve()
    if not folder.is_dir():
        raise ConfigError(f"config: input: {config['input']} is not a folder; give that of the new scans")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", folder.name):
        raise ConfigError(
            f"config: input: rename {folder.name!r}, or link to it: results will lie in a folder of that name"
        )


def is_address(path: str) -> bool:
    """Whether `path` is an address such as s3://bucket/table.csv instead of a file."""
    return "://" in path


def read_config(path: str | os.PathLike) -> dict[str, Any]:
    """The content of a configuration file. Raises ConfigError if it is no YAML mapping."""
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: is no configuration; see config/README.md")
    check_unique_keys(path)
    return content


def with_external(config: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a run that scores `config`'s networks on the cohort of `other`, both checked and complete.

    The cohort with its name, seed, demo and subgroup bands are of `other`, all of it the test split; the rest is of
    `config`. `internal` says which run the networks come from. Raises ConfigError for one name, or no common label.
    """
    if config["name"] == other["name"]:
        raise ConfigError(f"config: external: {config['external']} is named {other['name']} too; give it another name")
    known = config["cohort"]["pathologies"]
    shared = [name for name in known if name in other["cohort"]["pathologies"]]
    if not shared:
        raise ConfigError(f"config: external: {config['external']} has none of the pathologies of {config['name']}")
    result = {key: value for key, value in config.items() if key != "demo"}
    result |= {key: other[key] for key in ("name", "seed", "demo") if key in other}
    result["cohort"] = other["cohort"] | {"pathologies": shared}
    result["split"] = {"fractions": {"train": 0, "val": 0, "test": 1}, "require_positives": []}
    result["evaluation"] = config["evaluation"] | {"bands": other["evaluation"]["bands"]}
    shards = config["cohort"]["shards"]
    result["baselines"] = {}  # they are fitted anew in each run, and nothing is fitted here
    return result | {"internal": {"name": config["name"], "pathologies": known, "shards": shards}}


def check_trained(config: dict[str, Any], key: str, root: str = "results") -> None:
    """Raise ConfigError unless the networks that `config` is to use lie below `root`, and it would not overwrite a run.

    config: merged, if it is about an external cohort. key: `external` or `input`, which asks for the networks.
    """
    internal = config.get("internal", {}).get("name")
    for model, seed in product(config["models"], config["seeds"]):
        path = RunFolder(Path(root, internal or config["name"])).checkpoint(model, seed)
        if not path.is_file():
            raise ConfigError(f"config: {key}: {path} is missing; train it first, by the same command without {key}=")
    if internal and Path(root, config["name"], "models").exists():
        raise ConfigError(
            f"config: external: {root}/{config['name']} holds networks trained on that cohort; give it another name"
        )


def deciding(block: Mapping[str, Any], place: str = "") -> dict[str, Any]:
    """`block` without the keys that decide no result (NEUTRAL).

    place: where the block stands in the configuration, such as "training", which a model may have of its own.
    """
    within = f"{place}." if place else ""
    left = {key: value for key, value in block.items() if within + key not in NEUTRAL}
    if place:
        return left
    left |= {key: deciding(left[key], key) for key in ("training", "tune") if key in left}
    return left | {"models": {name: _deciding_of_model(model) for name, model in left["models"].items()}}


def _deciding_of_model(block: Mapping[str, Any]) -> dict[str, Any]:
    return {**block, "training": deciding(block["training"], "training")} if "training" in block else dict(block)


def canonical(value: Any) -> Any:
    """The same settings with sorted keys and plain types, so that the order of a YAML file means nothing."""
    return json.loads(json.dumps(value, sort_keys=True))


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with `changes` laid over it, nested blocks key by key."""
    result = dict(base)
    for key, value in changes.items():
        nested = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if nested else value
    return result


def _set_defaults(
    validator: Any, properties: dict[str, Any], block: Any, schema: dict[str, Any]
) -> Iterator[ValidationError]:
    for name, described in properties.items() if isinstance(block, dict) else ():
        if "default" in described:
            block.setdefault(name, copy.deepcopy(described["default"]))
    yield from Draft202012Validator.VALIDATORS["properties"](validator, properties, block, schema)


_Completing = validators.extend(Draft202012Validator, {"properties": _set_defaults})


def _explain(error: ValidationError) -> Iterator[str]:
    place = ".".join(str(part) for part in error.absolute_path)
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        for key in sorted(set(error.instance) - set(known), key=str):
            yield f"{place + '.' if place else ''}{key}: unknown key{_suggest(str(key), known)}"
    elif error.validator == "enum":
        allowed = ", ".join(map(str, error.validator_value))
        yield f"{place}: {error.instance!r} is not one of {allowed}"
    elif error.validator == "required":
        absent = [key for key in error.validator_value if key not in error.instance]
        yield f"{place + '.' if place else ''}{absent[0]}: is required"
    else:
        word = isinstance(error.instance, bool) and error.validator == "type"
        hint = "; YAML takes yes, no, on and off for it: write a word in quotes" if word else ""
        yield f"{place}: {error.message}{hint}"


def _suggest(name: str, known: Any) -> str:
    close = difflib.get_close_matches(name, list(map(str, known)), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
