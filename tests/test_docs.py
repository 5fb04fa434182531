"""Pages say what is there: their links lead somewhere, and the commands they print exist with the options they show."""

import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from hounsfield.cli.main import COMMANDS

ROOT = Path(__file__).parents[1]
PAGES = [path for path in sorted((ROOT / "docs").glob("*.md")) if not path.is_symlink()]
PAGES += [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "config/README.md")]


def printed_commands():
    """(page, command) of each line of a code block, and each piece of code in a text, that is a command of ours."""
    found = set()
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        blocks = re.findall(r"^```(?:\w*)\n(.*?)^```", text, flags=re.M | re.S)
        spans = re.findall(
            r"`((?:hounsfield|snakemake|make) [^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
        )
        lines = [line for block in blocks for line in block.splitlines()] + [" ".join(span.split()) for span in spans]
        for line in lines:
            if re.match(r"(hounsfield|snakemake|make) ", line):
                found.add((page.relative_to(ROOT).as_posix(), line.split("  #")[0].strip(" \\")))
    return sorted(found)


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if path.startswith(("http://", "https://")):
            continue
        file = page.parent / path if path else page
        assert file.exists(), f"{target} of {page.name}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), flags=re.M)
            assert anchor in {re.sub(r"[^\w\- ]", "", name).strip().lower().replace(" ", "-") for name in headings}


@pytest.mark.parametrize(("page", "command"), printed_commands())
def test_a_printed_command_is_one(page, command):
    program, *words = shlex.split(command)
    if program == "make":
        rules = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.M)
        assert {word for word in words if "=" not in word} <= set(rules)
        return
    options = {word.split("=")[0] for word in words if word.startswith("--")}
    if program == "hounsfield":
        assert words[0] in COMMANDS or words[0] in ("--help", "--version"), command
        known = help_of(words[0]) if words[0] in COMMANDS else "--help --version"
        sub = words[1] if words[0] == "store" and len(words) > 1 else None
        known += help_of("store", sub) if sub in ("list", "verify", "prune") else ""
    else:
        known = help_of(module="snakemake")
    assert not [option for option in options if not re.search(rf"{option}\b", known)], command


@cache
def help_of(*words, module="hounsfield"):
    done = subprocess.run([sys.executable, "-m", module, *words, "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
