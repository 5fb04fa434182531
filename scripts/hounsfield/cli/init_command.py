"""A first configuration from a folder and its tables: `hounsfield init FOLDER TABLE [TABLE ...]`."""

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from hounsfield.errors import ConfigError, HounsfieldError
from hounsfield.starting.known import known_config
from hounsfield.starting.look import FirstLook, look
from hounsfield.starting.text import as_config, as_lines, run_name

log = logging.getLogger(__name__)


def main(arguments: list[str] | None = None) -> int:
    """Write a configuration; 0 if there is one, 2 if nothing was written."""
    parser = argparse.ArgumentParser(
        prog="hounsfield init",
        description=__doc__,
        epilog="example: hounsfield init /data/ct /data/labels.csv /data/patients.xlsx --output config/mine.yaml",
    )
    parser.add_argument("folder", help="of the volumes")
    parser.add_argument("table", nargs="+", help="CSV, TSV or Excel: labels, and whatever else names the volumes")
    parser.add_argument("--output", type=Path, help="the configuration to write (config/{folder}.yaml)")
    parser.add_argument("--yes", action="store_true", help="ask nothing, take every proposal")
    parser.add_argument("--plan", action="store_true", help="have `hounsfield plan` propose grid and training as well")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    output = options.output or Path("config", f"{run_name(options.folder)}.yaml")
    try:
        write_config(options.folder, options.table, output, options.yes)
    except (HounsfieldError, OSError) as error:
        log.error("%s", error)
        return 2
    if options.plan:
        return plan_too(output)
    print(
        f"\nwritten: {output}\nnext:    hounsfield plan --config {output} --output {output.with_suffix('')}-plan.yaml"
    )
    print(f"or:      snakemake --configfile {output} --cores all -n")
    return 0


def write_config(folder: str, tables: Sequence[str], output: Path, yes: bool) -> None:
    """Look, show, ask and write. Raises TableError or ConfigError; an existing file is never written over."""
    if output.exists():
        raise ConfigError(f"{output}: is there already; name another file with --output")
    text = known_config(folder, tables)
    if text is None:
        found = look(folder, tables)
        pathologies = list(found.findings)
        print("\n".join(as_lines(found, pathologies)))
        if not yes:
            pathologies = choose(found, ask_on_terminal())
        text = as_config(found, pathologies, run_name(folder))
    output.parent.mkdir(parents=True, exist_ok=True)
    with open(output, "x", encoding="utf-8") as file:
        file.write(text)


def choose(found: FirstLook, ask: Callable[[str], str]) -> list[str]:
    """The findings to learn, as the user says. Raises ConfigError if there is none, or to stop."""
    labels = list(found.findings)
    answer = ask(f"Learn {len(labels)} findings? [Enter: all; or their names or numbers, by commas; n: stop] ").strip()
    if answer.lower() in ("n", "no"):
        raise ConfigError("nothing was written")
    if answer and answer.lower() not in ("y", "yes"):
        numbers = {str(number): label for number, label in enumerate(labels, 1)}
        wanted = [part.strip() for part in answer.split(",")]
        unknown = [part for part in wanted if part not in labels and part not in numbers]
        if unknown:
            raise ConfigError(f"{unknown[0]!r} is no finding of the tables; nothing was written")
        labels = [part if part in labels else numbers[part] for part in wanted]
    patients = found.patients
    told = f"column {found.patient!r}" if found.patient else f"the pattern {found.pattern}"
    question = f"{patients.nunique()} patients by {told}, such as {patients.iloc[0]!r}: right? [Enter: yes; n: stop] "
    if ask(question).strip().lower() in ("n", "no"):
        raise ConfigError("nothing was written; add a column with the patients, named patient_id, and try again")
    return labels


def ask_on_terminal() -> Callable[[str], str]:
    """`input`. Raises ConfigError where nobody can answer."""
    if not sys.stdin.isatty():
        raise ConfigError("nobody to ask, as this is no terminal; give --yes to take every proposal")
    return input


def plan_too(config: Path) -> int:
    """Let the planner write its overlay beside the configuration."""
    from hounsfield.cli.plan_command import main as plan

    return plan(["--config", str(config), "--output", f"{config.with_suffix('')}-plan.yaml"])


if __name__ == "__main__":
    sys.exit(main())
