"""Who is at work on a run: two configurations under one name at once would overwrite each other's results."""

import hashlib
import json
import os
import secrets
import socket
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from hounsfield.config import canonical, deciding
from hounsfield.errors import ConfigError
from hounsfield.locks import locked, try_lock

CLAIMS = ".runs"


def claim_run(results: str | os.PathLike, config: Mapping[str, Any]) -> AbstractContextManager:
    """Say that this process works on the run that `config` names, in the folder `results`, until it ends.

    A process that has ended, however it ended, claims nothing. Raises ConfigError if another one works on the run by
    another configuration; by the same one, both may.
    """
    mine = digest_of(config)
    name, folder = str(config["name"]), Path(results, CLAIMS)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / f"{name}.lock"):
        for other in sorted(folder.glob("*.run")):
            told = read_claim(other)
            if told.get("name") != name or _is_abandoned(other):
                continue
            if told["config"] != mine:
                raise ConfigError(
                    f"config: name: {name!r} is at work by another configuration (process {told['process']} on"
                    f" {told['host']}); wait until it ends, or give this one another name"
                )
        path = folder / f"{secrets.token_hex(8)}.run"
        held = try_lock(path)
        assert held is not None  # the name is new
        claim = {"name": name, "config": mine, "process": os.getpid(), "host": socket.gethostname()}
        path.write_text(json.dumps(claim), encoding="utf-8")
    return held


def digest_of(config: Mapping[str, Any]) -> str:
    """Digest of what decides the results."""
    text = json.dumps(canonical(deciding(config)), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def read_claim(path: Path) -> dict[str, Any]:
    """What a claim says; nothing if it was not written to its end."""
    try:
        return dict(json.loads(path.read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):
        return {}


def _is_abandoned(path: Path) -> bool:
    """Whether nobody holds the claim any more; it is taken away then."""
    held = try_lock(path)
    if held is None:
        return False
    with held:
        path.unlink(missing_ok=True)
    return True
