"""Weights & Biases as a mirror of the history: nothing that it does can end a training run."""

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

log = logging.getLogger(__name__)


class Tracker:
    """One run. mode: offline, online or disabled. run_id: that of an interrupted run goes on.

    artifact: whether the trained network is sent with the run.
    """

    def __init__(
        self,
        mode: str,
        directory: str | os.PathLike,
        name: str,
        config: Mapping[str, Any],
        project: str = "hounsfield",
        entity: str | None = None,
        run_id: str | None = None,
        artifact: bool = False,
    ):
        self._run: Any = None
        self._artifact = artifact
        self.run_id = run_id
        if mode != "disabled":
            arguments = {
                "project": project,
                "entity": entity,
                "id": run_id,
                "name": name,
                "config": dict(config),
            }
            self._guarded("start", self._start, usable_mode(mode), Path(directory), arguments)

    def log(self, row: Mapping[str, Any], step: int) -> None:
        """Send one epoch's row of the history."""
        if self._run is not None:
            self._guarded("log", self._run.log, dict(row), step)

    def finish(self, checkpoint: Path) -> None:
        """Close the run, with the trained network's `checkpoint` as its artifact if that is wanted."""
        if self._run is not None and self._artifact:
            self._guarded("artifact", self._run.log_artifact, checkpoint, f"model-{self.run_id}", "model")
        if self._run is not None:
            self._guarded("finish", self._run.finish)
            self._run = None

    def _start(self, mode: str, directory: Path, arguments: dict[str, Any]) -> None:
        import wandb  # takes a second, and only this needs it

        directory.mkdir(parents=True, exist_ok=True)
        settings = wandb.Settings(init_timeout=20, silent=True, console="off")
        self._run = wandb.init(mode=cast("Any", mode), dir=directory, resume="allow", settings=settings, **arguments)
        self.run_id = self._run.id

    def _guarded(self, what: str, call: Callable, *arguments: Any) -> None:
        # Anything may go wrong in a service that is not ours; the history file is the record.
        try:
            call(*arguments)
        except Exception as error:
            log.warning("wandb: %s failed (%s: %s); training goes on without it", what, type(error).__name__, error)
            self._run = None


def usable_mode(mode: str) -> str:
    """`mode`, or offline where online could only wait for a key that nobody can type."""
    if mode == "online" and not os.environ.get("WANDB_API_KEY") and not _has_netrc():
        log.warning("wandb: no API key, so the run is kept offline; `wandb login`, then `wandb sync` sends it")
        return "offline"
    return mode


def _has_netrc() -> bool:
    path = Path(os.environ.get("NETRC", Path.home() / ".netrc"))
    return path.is_file() and "wandb" in path.read_text(errors="replace")
