"""From a job's plain values to one training process, or to several through torch's launcher."""

import json
import logging
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from hounsfield.errors import HounsfieldError, TrainingError
from hounsfield.files import atomic_write
from hounsfield.job import log_to
from hounsfield.training.distributed import end_with_parent, joined
from hounsfield.training.interruption import Interrupted
from hounsfield.training.job import TrainingJob
from hounsfield.training.trainer import train_model

log = logging.getLogger(__name__)


def launch(spec: Mapping[str, Any], processes: int, log_file: str) -> None:
    """Train the job of `spec` in this process, or in `processes` new ones that share each batch.

    spec: arguments of `TrainingJob.from_spec`. log_file: the new processes append to it.
    Raises what `train_model` raises; of several processes, TrainingError with what ended the first.
    """
    if processes == 1:
        train_model(TrainingJob.from_spec(spec))
        return
    path = Path(spec["directory"]) / "job.json"
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(spec))
    with TemporaryDirectory() as logs:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            local_addr="localhost",
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(logs),
        )
        try:
            elastic_launch(config, sys.executable)("-m", __name__, str(path), log_file)
        except SignalException as stopped:
            raise Interrupted(stopped.sigval) from None
        except ChildFailedError as failed:
            _raise_failure(*failed.get_first_failure())


def _raise_failure(rank: int, failure: ProcessFailure) -> None:
    if failure.exitcode in (128 + signal.SIGINT, 128 + signal.SIGTERM):
        raise Interrupted(failure.exitcode - 128)
    how = f"exited with {failure.exitcode}, its message is above"
    if failure.exitcode < 0:
        how = f"was killed by {signal.Signals(-failure.exitcode).name}; look whether memory ran out"
    raise TrainingError(f"training ended, as process {rank} {how}; the same command goes on from the last checkpoint")


def main(path: str, log_file: str) -> int:
    """One of the processes: train the job in `path`; only the first says more than warnings."""
    end_with_parent()
    with joined() as world:
        log_to(log_file, logging.INFO if world.first else logging.WARNING)
        try:
            train_model(TrainingJob.from_spec(json.loads(Path(path).read_text())), world)
        except HounsfieldError as error:
            log.error("process %d: %s", world.rank, error)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
