# The configuration, checked, and the functions that rules share.
import os
import re
import sys
from dataclasses import asdict
from functools import cache
from pathlib import Path
from types import SimpleNamespace

from snakemake.exceptions import WorkflowError

# Of this file, not of the Snakefile that was started: the workflow may be a module of another.
RULES = Path(workflow.current_basedir.get_path_or_uri(secret_free=True))
SCRIPTS = RULES.parents[1] / "scripts"
if not SCRIPTS.is_dir():
    raise WorkflowError(
        f"{RULES}: there is no library beside these rules; clone the workflow, and name workflow/Snakefile of the clone"
    )
sys.path.insert(0, str(SCRIPTS))
# Jobs too import the library beside the workflow, which `code` digests, and not another that may be installed.
LIBRARIES = [str(SCRIPTS), *filter(None, [os.environ.get("PYTHONPATH")])]
os.environ.update(PYTHONPATH=os.pathsep.join(LIBRARIES))

from hounsfield.baselines.settings import complete_baselines
from hounsfield.cohort.settings import training_runs
from hounsfield.config import (
    canonical,
    check_input,
    check_tables,
    check_trained,
    check_unique_keys,
    complete_config,
    config_schema,
    deciding,
    is_address,
    merged,
    read_config,
    start_of,
    with_external,
)
from hounsfield.errors import HounsfieldError
from hounsfield.provenance import code_digest
from hounsfield.runs import claim_run
from hounsfield.tuning.space import check_tuning

# Where results lie in object storage, only Snakemake knows what is there.
REMOTE = workflow.storage_settings.default_storage_provider is not None


# A copy: where this is a module, the configuration that it was given stays as its owner wrote it.
try:
    if workflow.modifier.is_main_snakefile():
        for path in workflow.configfiles:
            check_unique_keys(path)
    config = complete_config(config)
    check_tuning(config, config_schema())
    WRITTEN = canonical(config)  # as the report shows it
    if config["external"]:
        config = with_external(config, complete_config(read_config(config["external"])))
    COMPLETE_BASELINES = complete_baselines(config)
    RUNS = training_runs(config)
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
# What is trained lies in the run's folder, and in one below it for each further fold of a cross-validation.
RUN = "results/{run}"
# The run that trained the networks: this one, unless they are scored on an external cohort.
INTERNAL = config.get("internal")
TRAINED = f"results/{INTERNAL['name']}" if INTERNAL else RESULTS
NETWORKS = TRAINED if INTERNAL else RUN
FOLDS = list(RUNS) if len(RUNS) > 1 else []
# New scans, if there is a folder of them.
SCANS_NAME = Path(config["input"] or "none").resolve().name
SCANS = f"{RESULTS}/inference/{SCANS_NAME}"
LOGS = f"{RESULTS}/logs"
BENCHMARKS = f"{RESULTS}/benchmarks"
MODELS = sorted(config["models"])
BASELINES = sorted(COMPLETE_BASELINES)
SCORED = MODELS + BASELINES
SEEDS = config["seeds"]
NODES = config["training"].get("nodes", 1)
SHARDS = [f"{number:02d}" for number in range(config["cohort"]["shards"])]


CLAIMED = []


def claim():
    """Hold the run's name for this configuration until this process ends."""
    if REMOTE:  # where no lock can be held
        return
    try:
        CLAIMED.append(claim_run("results", config))
    except HounsfieldError as error:
        raise WorkflowError(str(error)) from None


wildcard_constraints:
    run="|".join(map(re.escape, RUNS)),
    model="|".join(MODELS),
    seed=r"\d+",
    split="train|val|test",
    shard=r"\d+",


@cache
def code(script, *modules):
    """Digest of what the script runs; as a parameter, it reruns the stages that an edit touches and no others."""
    return code_digest(SCRIPTS / script, modules)


def without(block, *keys):
    """The block, but for keys that say nothing of a stage's result."""
    return {key: value for key, value in block.items() if key not in keys}


def literal(value):
    """A parameter as it is: in a text that stands there plainly, Snakemake takes braces for wildcards."""
    return lambda wildcards: value


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
    # Here, as pandas takes its time at every start, and only new scans need it.
    from hounsfield.cohort.files import files_digest

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
    return canonical(without(config["models"][wildcards.model], "training", "tune"))


def training_settings(wildcards):
    """What decides the result: as a parameter, it retrains when that changes, and not with the size of a cache."""
    settings = deciding(merged_training(wildcards), "training")
    if settings.get("continue_from"):
        settings["continue_from"] = start_of(
            settings["continue_from"], wildcards.model, wildcards.seed
        )
    return canonical(settings)


def merged_training(wildcards):
    own = config["models"][wildcards.model].get("training", {})
    return merged(config["training"], own)


def training_starts(wildcards):
    """Files that training starts from."""
    files = [
        config["models"][wildcards.model].get("weights"),
        training_settings(wildcards).get("continue_from"),
    ]
    return [storage(path) if is_address(path) else path for path in filter(None, files)]


def baselines_of(kind):
    """A wildcard's constraint: the names of the baselines of a kind, or what no name matches."""
    named = [name for name in BASELINES if COMPLETE_BASELINES[name].kind == kind]
    return "|".join(named) or "(?!)"


def baseline_settings(wildcards):
    return canonical(asdict(COMPLETE_BASELINES[wildcards.baseline]))


def baseline_predictions():
    return {
        split: report(
            f"{RUN}/predictions/{{baseline}}/seed{{seed}}/{split}.tsv",
            category="Predictions",
            caption="../report/predictions.rst",
            labels={
                "run": "{run}",
                "model": "{baseline}",
                "seed": "{seed}",
                "split": split,
            },
        )
        for split in ("val", "test")
    }


def of_probed(function):
    """`function` of the model whose features a linear probe classifies."""
    return lambda wildcards: function(
        SimpleNamespace(
            model=COMPLETE_BASELINES[wildcards.baseline].model, seed=wildcards.seed
        )
    )


def probe_code(wildcards):
    probed = of_probed(architecture)(wildcards)
    return code("linear_probe.py", f"hounsfield.models.{probed}")


def probed_checkpoint(wildcards):
    """Of the trained network; nothing where the features are those that training starts from."""
    probe = COMPLETE_BASELINES[wildcards.baseline]
    best = f"results/{wildcards.run}/models/{probe.model}/seed{wildcards.seed}/best.pth"
    return [best] if probe.trained else []


def training_gpus(wildcards):
    # A job of several nodes asks for its GPUs a node, by gres.
    return 0 if NODES > 1 else merged_training(wildcards).get("gpu", 1)


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
    search = {
        "block": config["models"][wildcards.model],
        "training": config["training"],
        "tune": without(config["tune"], "workers", "wandb"),
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
