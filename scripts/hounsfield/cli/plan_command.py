"""Propose settings for a cohort and this machine: `hounsfield plan --config config/mine.yaml --output plan.yaml`."""

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hounsfield.cohort.settings import CohortSettings, SplitSettings
from hounsfield.config import check_config, check_tables, config_schema, is_address, merged, read_config
from hounsfield.devices import lease_devices, visible_devices
from hounsfield.errors import ConfigError, HounsfieldError
from hounsfield.files import atomic_write
from hounsfield.planning.cost import Cost, measure_training
from hounsfield.planning.facts import CohortFacts, read_manifest, survey
from hounsfield.planning.grids import Grid
from hounsfield.planning.machine import Machine, inspect_machine
from hounsfield.planning.overlay import as_config, as_json, as_text, as_yaml
from hounsfield.planning.propose import Proposal, plan_task, propose
from hounsfield.planning.rules import threads

EXAMPLE = "example: hounsfield plan --config config/mine.yaml --output plan.yaml --hours 12"

log = logging.getLogger(__name__)

# Stands in for the block that is to be proposed, so that the rest can be checked.
TO_BE_PROPOSED = {"preprocessing": {"spacing": [1, 1, 1], "shape": [64, 64, 64]}}
DEFAULTS = {"seed": 0, "seeds": [0], "store": "results/store", "split": {}, "training": {}}
HOURS_ON_GPU, HOURS_ON_CPU = 12.0, 1.0
READERS = 4
CPU_BATCH = 4  # to measure: more would take longer and tell no more


def main(arguments: list[str] | None = None) -> int:
    """Print the proposal; 0 if there is one, 2 if nothing could be done."""
    parser = argparse.ArgumentParser(prog="hounsfield plan", description=__doc__, epilog=EXAMPLE)
    parser.add_argument("--config", type=Path, nargs="+", required=True, help="as snakemake --configfile takes them")
    parser.add_argument("--output", type=Path, help="write the proposal there, a configuration to lay over yours")
    parser.add_argument(
        "--hours", type=float, help=f"for all trainings ({HOURS_ON_GPU:g}; without a GPU {HOURS_ON_CPU:g})"
    )
    parser.add_argument("--sample", type=int, default=24, help="training volumes to read (24)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s", stream=sys.stderr)
    try:
        config = complete_config(options.config)
        facts, machine, proposal = plan(config, options.hours, options.sample)
        if options.output:
            write_overlay(proposal, options.output, config)
    except (HounsfieldError, OSError) as error:
        log.error("%s", error)
        return 2
    print(json.dumps(as_json(facts, machine, proposal)) if options.json else as_text(facts, machine, proposal))
    if not options.json and options.output:
        command = " ".join(["snakemake", "--configfile", *map(str, options.config), str(options.output)])
        gpus = f" --resources gpu={machine.gpus}" if machine.gpus else ""
        print(f"\nto run it       {command} --cores {machine.cores}{gpus}")
    return 0


def complete_config(paths: Sequence[Path]) -> dict[str, Any]:
    """The files laid over one another and checked, with the defaults that planning needs.

    `preprocessing` may be absent. Raises ConfigError.
    """
    config: dict[str, Any] = {}
    for path in paths:
        config = merged(config, read_config(path))
    check_config(merged(TO_BE_PROPOSED, config), config_schema())
    if "demo" in config and not Path(config["cohort"]["volumes"]).is_dir():
        files = " ".join(map(str, paths))
        raise ConfigError(
            f"config: cohort.volumes: the phantoms are not painted yet; run `snakemake --configfile {files} --cores all"
            " demo_cohort` first"
        )
    for path in [*config["cohort"]["labels"], *config["cohort"].get("metadata", [])]:
        if is_address(path):
            raise ConfigError(f"config: cohort: {path} is an address; plan with a copy of the table")
    check_tables(config)
    return merged(DEFAULTS, config)


def plan(config: dict[str, Any], hours: float | None, sample: int) -> tuple[CohortFacts, Machine, Proposal]:
    """Look at the cohort and the machine, and propose. Raises HounsfieldError."""
    if sample < 1 or (hours is not None and not hours > 0):
        raise ConfigError("--sample and --hours: give positive numbers")
    cohort = CohortSettings.from_config(config["cohort"])
    split = SplitSettings.from_config(config["split"])
    manifest = read_manifest(cohort, split, config["seed"], Path("results", config["name"]))
    gpus = len(visible_devices())
    with lease_devices(1):
        machine = inspect_machine(config["store"], gpus)
        readers, fold = min(READERS, machine.cores), split.validation_folds()[0]
        facts = survey(manifest, cohort.pathologies, sample, config["seed"], readers, fold)
        hours = hours or (HOURS_ON_GPU if machine.gpus else HOURS_ON_CPU)
        cores = threads(machine, plan_task(facts, machine, config, hours).jobs).value

        def measure(name: str, grid: Grid, batch: int, recompute: bool) -> Cost:
            block = config["models"][name]
            own = merged(block.get("training", {}), {"gradient_checkpointing": recompute})
            training, labels = merged(config["training"], own), len(cohort.pathologies)
            if machine.gpus:
                return measure_training(block, training, labels, grid, batch, cores)
            return measure_training(block, training, labels, grid, min(batch, CPU_BATCH), cores, machine.busy)

        return facts, machine, propose(facts, machine, config, hours, measure)


def write_overlay(proposal: Proposal, path: Path, config: dict[str, Any]) -> None:
    """Write the proposal as YAML, once it is known to be sound. Raises ConfigError or OSError."""
    check_config(merged(config, as_config(proposal.choices)), config_schema())
    heading = "Proposed by `hounsfield plan`, to be laid over the configuration that it was made for:\n"
    heading += f"store {proposal.gigabytes:.2f} GB, preprocessing {proposal.preprocessing_hours:.2f} hours, "
    heading += f"training {sum(proposal.training_hours.values()):.2f} hours."
    with atomic_write(path) as partial:
        partial.write_text(as_yaml(proposal, heading), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
