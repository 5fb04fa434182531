"""Commands start at once: help needs the standard library alone, and no command imports what it does not use."""

import subprocess
import sys
from pathlib import Path

import pytest

LIBRARY = Path(__file__).parents[2] / "scripts" / "hounsfield"


def imported_by(*arguments):
    """Packages that a command has imported when it ends."""
    code = "import sys; from hounsfield.cli.main import main; main(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in done.stderr.split()}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_needs_the_standard_library_alone(arguments):
    heavy = {"numpy", "pandas", "torch", "monai", "numba", "matplotlib", "snakemake", "yaml"}
    assert not heavy & imported_by(*arguments)


@pytest.mark.parametrize(
    ("arguments", "unused"),
    [
        (["inspect", "absent.nii.gz"], {"torch", "monai", "pandas", "matplotlib", "snakemake", "sklearn"}),
        (["status", "absent"], {"torch", "monai", "pandas", "numpy", "numba", "snakemake"}),
        (["doctor"], {"monai", "pandas", "numba", "snakemake"}),
    ],
)
def test_a_command_imports_what_it_uses(arguments, unused):
    assert not unused & imported_by(*arguments)


def test_no_module_shadows_the_standard_library():
    for path in LIBRARY.rglob("*.py"):
        own = path.stem if path.stem != "__init__" else path.parent.name
        assert own == "__main__" or own not in sys.stdlib_module_names, path


@pytest.mark.parametrize("command", sorted((LIBRARY / "cli").glob("*_command.py")), ids=lambda path: path.stem)
def test_a_command_runs_as_a_file(command):
    done = subprocess.run([sys.executable, command, "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "usage: hounsfield" in done.stdout
