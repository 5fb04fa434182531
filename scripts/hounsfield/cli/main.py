"""The commands beside the workflow: `hounsfield COMMAND ...`."""

import argparse
import importlib
import os
import sys
from importlib.metadata import version

COMMANDS = {
    "doctor": "whether this machine is ready: packages, GPUs, disks, locks, Slurm",
    "export": "a trained network for other tools: ONNX, torch.export, MONAI, safetensors",
    "init": "a first configuration from a folder of volumes and its tables",
    "inspect": "what the workflow sees in a file or folder",
    "plan": "propose settings for a cohort and this machine",
    "predict": "score new scans with a trained model",
    "status": "how far a run is, and how its trainings go",
    "store": "list, verify and prune a store of volumes",
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command that the first argument names, with the other arguments; 2 if there is none of that name.

    Each command is the module `{name}_command` of this package, imported only when it runs: help takes no time.
    """
    try:
        options = _parser().parse_args(arguments)
    except SystemExit as ended:  # help, the version, or a command that is none: argparse has said it
        return int(ended.code or 0)
    command = importlib.import_module(f"hounsfield.cli.{options.command}_command")
    try:
        return command.main(options.arguments)
    except BrokenPipeError:  # whoever reads has seen enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    lines = [f"  {name:10} {what}" for name, what in COMMANDS.items()]
    parser = argparse.ArgumentParser(
        prog="hounsfield",
        description="Commands beside the workflow, each with a --help of its own:\n\n" + "\n".join(lines),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"hounsfield {version('hounsfield')}")
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of these")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="of the command")
    return parser


if __name__ == "__main__":
    sys.exit(main())
