# The configuration, checked, and the functions that rules share.
import sys
from functools import cache
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError
from snakemake.utils import validate

SCRIPTS = Path(workflow.basedir).parent / "scripts"
sys.path.insert(0, str(SCRIPTS))

from hounsfield.config import (
    canonical,
    check_config,
    check_tables,
    is_address,
    merged,
)
from hounsfield.errors import HounsfieldError
from hounsfield.provenance import code_digest
from hounsfield.tuning.space import check_tuning

SCHEMA = Path(workflow.basedir) / "schemas" / "config.schema.yaml"

try:
    check_config(config, yaml.safe_load(SCHEMA.read_text()))
    validate(config, str(SCHEMA))  # fills in the defaults
    check_tuning(config, yaml.safe_load(SCHEMA.read_text()))
    if "demo" not in config:
        check_tables(config)
except HounsfieldError as error:
    raise WorkflowError(str(error)) from None

RESULTS = f"results/{config['name']}"
LOGS = f"{RESULTS}/logs"
BENCHMARKS = f"{RESULTS}/benchmarks"
MODELS = sorted(config["models"])
SEEDS = config["seeds"]
NODES = config["training"].get("nodes", 1)
SHARDS = [f"{number:02d}" for number in range(config["cohort"]["shards"])]


wildcard_constraints:
    model="|".join(MODELS),
    seed=r"\d+",
    split="train|val|test",
    shard=r"\d+",


@cache
def code(script, *modules):
    """Digest of what the script runs; as a parameter, it reruns the stages that an edit touches and no others."""
    return code_digest(SCRIPTS / script, modules)


def user_tables(key):
    """Files; an address such as s3://bucket/labels.csv is fetched by the storage plug-in of its scheme."""
    named = config["cohort"][key] or []
    paths = [named] if isinstance(named, str) else named
    return [storage(path) if is_address(path) else path for path in paths]


def shard_table(wildcards):
    return checkpoints.manifest.get().output.shards[int(wildcards.shard)]


def train_code(wildcards):
    return code("train.py", f"hounsfield.models.{architecture(wildcards)}")


def architecture(wildcards):
    return config["models"][wildcards.model]["architecture"]


def model_settings(wildcards):
    block = {
        key: value
        for key, value in config["models"][wildcards.model].items()
        if key not in ("training", "tune")
    }
    return canonical(block)


def training_settings(wildcards):
    own = config["models"][wildcards.model].get("training", {})
    return canonical(merged(config["training"], own))


def training_gpus(wildcards):
    # A job of several nodes asks for its GPUs a node, by gres.
    return 0 if NODES > 1 else training_settings(wildcards).get("gpu", 1)


def several_nodes():
    """What Slurm needs to know of a training job that srun spreads over nodes."""
    if NODES == 1:
        return {}
    gpus = config["training"].get("gpu", 1)
    return {
        "mpi": "srun",
        "nodes": NODES,
        "tasks": NODES * gpus,
        "tasks_per_gpu": 0,
        "gres": f"gpu:{gpus}",
    }


def search_settings(wildcards):
    """Everything that decides the trials of a model; neither how many workers share them nor what W&B is told."""
    tune = {
        key: value
        for key, value in config["tune"].items()
        if key not in ("workers", "wandb")
    }
    search = {
        "block": config["models"][wildcards.model],
        "training": config["training"],
        "tune": tune,
        "preprocessing": config["preprocessing"],
        "pathologies": config["cohort"]["pathologies"],
        "code": code("tune.py", f"hounsfield.models.{architecture(wildcards)}"),
    }
    return canonical(search)


def tuning_workers(wildcards):
    return expand(
        f"{RESULTS}/tuning/{wildcards.model}/workers/{{worker}}.tsv",
        worker=range(config["tune"]["workers"]),
    )
