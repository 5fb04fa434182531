"""Look after a store of volumes: `hounsfield store list|verify|prune STORE`."""

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hounsfield.config import merged
from hounsfield.errors import ConfigError, HounsfieldError, StoreError
from hounsfield.layout import RunFolder
from hounsfield.tables import read_table
from hounsfield.volumes.preprocess import SHARD_TEXT, known_key
from hounsfield.volumes.settings import PreprocessingSettings
from hounsfield.volumes.store import FORMAT, VolumeStore

EXAMPLE = "example: hounsfield store verify results/store"

# A volume that is being written has a temporary name for seconds; an older one was left by a writer that died.
ABANDONED_AFTER_S = 24 * 3600


@dataclass
class Holding:
    """Volumes of one preprocessing setting, and the bytes of their files."""

    volumes: int = 0
    bytes: int = 0


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 if all is well, 1 if volumes are damaged or the command cannot be carried out."""
    options = _parser().parse_args(arguments)
    store = VolumeStore(options.store)
    try:
        if not store.root.is_dir():
            raise StoreError(f"{store.root}: there is no such folder; give the one that `store` names in the config")
        return options.run(store, options)
    except HounsfieldError as error:
        print(error, file=sys.stderr)
        return 1


def holdings(store: VolumeStore) -> tuple[dict[str, Holding], list[str]]:
    """What lies in the store by preprocessing setting, and a line for each file whose header is damaged."""
    found: dict[str, Holding] = defaultdict(Holding)
    damaged = []
    for key in store:
        try:
            facts = store.facts(key)
        except StoreError as error:
            damaged.append(str(error))
            continue
        setting = json.dumps(facts["preprocessing"], sort_keys=True) if "preprocessing" in facts else "not recorded"
        holding = found[setting if facts.get("format") == FORMAT else f"{setting} (by an earlier version: not used)"]
        holding.volumes += 1
        holding.bytes += store.path(key).stat().st_size
    return dict(found), damaged


def find_damage(store: VolumeStore, workers: int = 2) -> Iterator[tuple[str, str | None]]:
    """Each key of the store, and what is wrong with its file, None if every checksum is right."""

    def check(key: str) -> tuple[str, str | None]:
        try:
            store.verify(key)
        except StoreError as error:
            return key, str(error)
        return key, None

    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(check, store)


def read_runs(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """The configurations in `paths`; one without a name, as `hounsfield plan` writes, is laid over the one before it.

    Raises ConfigError for what is no configuration of a run.
    """
    runs: list[dict[str, Any]] = []
    for path in paths:
        try:
            block = dict(yaml.safe_load(path.read_text(encoding="utf-8")))
        except (OSError, yaml.YAMLError, TypeError, ValueError) as error:
            raise ConfigError(f"{path}: is no configuration of a run ({error}); nothing is removed") from error
        if "name" in block:
            runs.append(block)
        elif runs:
            runs.append(merged(runs[-1], block))  # beside it: it may have been run without, too
        else:
            raise ConfigError(f"{path}: is no configuration of a run (it has no name); give the run's before it")
    return runs


def used_keys(store: VolumeStore, config: Mapping[str, Any]) -> set[str]:
    """Keys that a run uses, for its cohort and for new scans: what its tables list, and what its shards address.

    Raises ConfigError if the run has no shards yet, as nothing would then be known to be in use.
    """
    run = RunFolder(Path("results", str(config["name"])))
    settings = PreprocessingSettings.from_config(config.get("preprocessing", {}))
    if not any(run.shard("*").parent.glob("*.tsv")):
        raise ConfigError(f"{run.shard('*').parent}: no tables of the run {config['name']}; make its manifest first")
    keys: set[str] = set()
    for folder in (run.cohort("dataset").parent, *run.path.glob("inference/*")):
        for shard in folder.glob("shards/*.tsv"):
            for row in read_table(shard, text=SHARD_TEXT).to_dict("records"):
                keys |= {key} if (key := known_key(row, store, settings)) else set()
        for table in [*folder.glob("stored/*.tsv"), *folder.glob("dataset.tsv")]:
            keys |= set(read_table(table, text=["key"])["key"])
    return keys


def unused(store: VolumeStore, used: set[str]) -> list[Path]:
    """Files of volumes that are not in `used`, and those that writers left behind when they died."""
    files = [store.path(key) for key in store if key not in used]
    now = time.time()
    partial = [*store.root.glob("??/.partial-*"), *store.sources.root.glob("??/.partial-*")]
    return files + [path for path in partial if now - path.stat().st_mtime > ABANDONED_AFTER_S]


def _list(store: VolumeStore, options: argparse.Namespace) -> int:
    found, damaged = holdings(store)
    print(f"{'volumes':>8} {'GB':>9} {'MB each':>8}  preprocessing")
    for setting, holding in sorted(found.items()):
        print(_holding_line(holding, setting))
    total = Holding(sum(h.volumes for h in found.values()), sum(h.bytes for h in found.values()))
    print(_holding_line(total, f"in {store.root}"))
    return _report(damaged)


def _holding_line(holding: Holding, what: str) -> str:
    each = holding.bytes / max(holding.volumes, 1) / 1e6
    return f"{holding.volumes:8d} {holding.bytes / 1e9:9.3f} {each:8.2f}  {what}"


def _verify(store: VolumeStore, options: argparse.Namespace) -> int:
    checked, damaged = 0, []
    for _, damage in find_damage(store, options.workers):
        checked += 1
        damaged += [damage] if damage else []
    print(f"{checked} volumes verified, {len(damaged)} damaged")
    return _report(damaged)


def _prune(store: VolumeStore, options: argparse.Namespace) -> int:
    used = set().union(*(used_keys(store, config) for config in read_runs(options.config)))
    files = unused(store, used)
    size = sum(path.stat().st_size for path in files)
    print(f"{len(files)} files, {size / 1e9:.3f} GB, are used by none of {_names(options.config)}")
    if not options.yes:
        print("nothing was removed; repeat with --yes to remove them")
        return 0
    for path in files:
        path.unlink(missing_ok=True)
    print("removed")
    return 0


def _names(paths: Iterable[Path]) -> str:
    return ", ".join(map(str, paths))


def _report(damaged: list[str]) -> int:
    for line in damaged:
        print(line, file=sys.stderr)
    return int(bool(damaged))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hounsfield store", description=__doc__, epilog=EXAMPLE)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for run, description in (
        (_list, "volumes and bytes of each preprocessing setting"),
        (_verify, "read every volume and compare its checksum"),
        (_prune, "remove volumes that none of the given configs uses; only shows them without --yes"),
    ):
        command = commands.add_parser(run.__name__.lstrip("_"), help=description, description=description)
        command.add_argument("store", type=Path, help="folder of the store")
        command.set_defaults(run=run)
        if run is _verify:
            command.add_argument("--workers", type=int, default=2, help="threads")
        if run is _prune:
            command.add_argument(
                "--config",
                type=Path,
                nargs="+",
                required=True,
                help="every config in use, each before what is laid over it",
            )
            command.add_argument("--yes", action="store_true", help="remove them")
    return parser


if __name__ == "__main__":
    sys.exit(main())
