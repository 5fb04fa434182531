"""The commands beside the workflow."""

import importlib
import sys

COMMANDS = {
    "export": "a trained network for other tools: ONNX, torch.export, MONAI, safetensors",
    "inspect": "what the workflow sees in a file or folder",
    "plan": "propose settings for a cohort and this machine",
    "predict": "score new scans with a trained model",
    "store": "list, verify and prune a store of volumes",
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command that the first argument names, a module of this package, with the other arguments."""
    command, *rest = (sys.argv[1:] if arguments is None else arguments) or [""]
    if command not in COMMANDS:
        lines = [f"  {name:10} {what}" for name, what in COMMANDS.items()]
        wanted = command in ("-h", "--help")
        print("\n".join(["usage: hounsfield COMMAND ...", *lines]), file=sys.stdout if wanted else sys.stderr)
        return 0 if wanted else 2
    return importlib.import_module(f"hounsfield.{command}").main(rest)


if __name__ == "__main__":
    sys.exit(main())
