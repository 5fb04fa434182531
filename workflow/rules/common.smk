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
    check_input,
    check_tables,
    check_trained,
    is_address,
    merged,
    read_config,
    with_external,
)
from hounsfield.errors import HounsfieldError
from hounsfield.inference.scans import files_digest
from hounsfield.provenance import code_digest

SCHEMA = Path(workflow.basedir) / "schemas" / "config.schema.yaml"
# Where results lie in object storage, only Snakemake knows what is there.
REMOTE = workflow.storage_settings.default_storage_provider is not None


def checked(settings):
    check_config(settings, yaml.safe_load(SCHEMA.read_text()))
    validate(settings, str(SCHEMA))  # fills in the defaults
    return settings


try:
    checked(config)
    if config["external"]:
        changed = with_external(config, checked(read_config(config["external"])))
        config.clear()
        config.update(changed)
    if config["input"]:
        check_input(config)
    elif "demo" not in config:
        check_tables(config)
    for key in ("external", "input"):
        if config[key] and not REMOTE:
            check_trained(config, key)
except HounsfieldError as error:
    raise WorkflowError(str(error)) from None

RESULTS = f"results/{config['name']}"
# The run that trained the networks: this one, unless they are scored on an external cohort.
INTERNAL = config.get("internal")
TRAINED = f"results/{INTERNAL['name']}" if INTERNAL else RESULTS
# New scans, if there is a folder of them.
SCANS_NAME = Path(config["input"] or "none").resolve().name
SCANS = f"{RESULTS}/inference/{SCANS_NAME}"
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


def scan_table(wildcards):
    return checkpoints.list_scans.get().output.shards[int(wildcards.shard)]


def stored_scans(wildcards):
    checkpoints.list_scans.get()  # until then, Snakemake takes every shard for changed
    return f"{SCANS}/stored/{wildcards.shard}.tsv"


@cache
def files_below(folder):
    return files_digest(folder)


def listed_files(wildcards):
    """As a parameter, it lists the folder again when a scan has come, gone or changed: Snakemake watches no folder."""
    return files_below(config["input"])


def operating_points(wildcards):
    """The network's thresholds, if its run came as far as that."""
    path = Path(
        f"{RESULTS}/metrics/{wildcards.model}/seed{wildcards.seed}/operating_points.tsv"
    )
    return [str(path)] if REMOTE or path.exists() else []


def internal_cohort():
    """What the networks of another run were trained on: its dataset and the digests of its images."""
    if not INTERNAL:
        return []
    shards = [f"{number:02d}" for number in range(INTERNAL["shards"])]
    return [
        f"{TRAINED}/cohort/dataset.tsv",
        *expand(f"{TRAINED}/cohort/stored/{{shard}}.tsv", shard=shards),
    ]


def train_code(wildcards):
    return code("train.py", f"hounsfield.models.{architecture(wildcards)}")


def architecture(wildcards):
    return config["models"][wildcards.model]["architecture"]


def model_settings(wildcards):
    block = {
        key: value
        for key, value in config["models"][wildcards.model].items()
        if key != "training"
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
