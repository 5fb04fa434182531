"""A digest of the code that a stage runs, so that an edit reruns the stages that use it and no others.

Snakemake compares a rule's script by file times and does not follow imports. The digest follows them, through the
modules of this library, and hashes syntax trees: comments, docstrings and layout do not count. Templates count with
the module that names them.
"""

import ast
import functools
import hashlib
import os
from pathlib import Path

TEMPLATES = (".html", ".css", ".js", ".md")
LIBRARY = Path(__file__).resolve().parent


def code_digest(script: str | os.PathLike, extra_modules: tuple[str, ...] = ()) -> str:
    """Hex digest of `script`, the library modules it imports, and `extra_modules`, all followed transitively.

    `extra_modules` names modules that are looked up at run time, such as "hounsfield.models.resnet3d". A package's
    `__init__` holds re-exports only and is not counted.
    """
    digest = hashlib.blake2b(_tree_digest(Path(script)).encode(), digest_size=16)
    reached: dict[str, Path] = {}
    waiting = [*_imports(Path(script)), *extra_modules]
    while waiting:
        name = waiting.pop()
        path = _module_file(name)
        if path is None or name in reached:
            continue
        reached[name] = path
        waiting.extend(_imports(path))
    for name in sorted(reached):
        digest.update(f"{name}:{_tree_digest(reached[name])};".encode())
        for template in _templates(reached[name]):
            digest.update(template.read_bytes())
    return digest.hexdigest()


def _module_file(name: str) -> Path | None:
    """File of a module of this library, None for anything else (packages included)."""
    top, *rest = name.split(".")
    path = LIBRARY.joinpath(*rest).with_suffix(".py") if top == LIBRARY.name and rest else None
    return path if path is not None and path.is_file() else None


@functools.cache
def _imports(path: Path) -> tuple[str, ...]:
    """Names that may be modules, from every import statement of the file, also those inside functions."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(names)


@functools.cache
def _templates(path: Path) -> tuple[Path, ...]:
    """All templates beside a module that names one of them: templates include one another."""
    beside = sorted(file for file in path.parent.iterdir() if file.suffix in TEMPLATES)
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    named = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return tuple(beside) if named & {file.name for file in beside} else ()


@functools.cache
def _tree_digest(path: Path) -> str:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and _docstring(node):
            node.body = node.body[1:]
    return hashlib.blake2b(ast.dump(tree).encode(), digest_size=16).hexdigest()


def _docstring(node: ast.AST) -> bool:
    kinds = (ast.AsyncFunctionDef, ast.FunctionDef, ast.ClassDef, ast.Module)
    return isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None
