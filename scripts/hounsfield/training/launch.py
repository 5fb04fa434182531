"""From a job's plain values to one training process, or to several through torch's launcher or Slurm's srun."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from hounsfield.errors import ConfigError, HounsfieldError, TrainingError
from hounsfield.files import atomic_write
from hounsfield.job import end_with_parent, log_to
from hounsfield.training.distributed import joined
from hounsfield.training.interruption import Interrupted
from hounsfield.training.job import TrainingJob
from hounsfield.training.trainer import train_model

log = logging.getLogger(__name__)

FIRST_PORT, PORTS = 20_000, 20_000


def launch(spec: Mapping[str, Any], processes: int, log_file: str) -> None:
    """Train the job of `spec` in this process, or in `processes` new ones on each of its nodes, sharing each batch.

    spec: arguments of `TrainingJob.from_spec`. log_file: the new processes append to it.
    Raises what `train_model` raises; of several processes, TrainingError with what ended the first.
    """
    nodes = spec["training"].get("nodes", 1)
    if nodes == processes == 1:
        train_model(TrainingJob.from_spec(spec))
        return
    path = Path(spec["directory"]) / "job.json"
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(spec))
    if nodes == 1:
        _launch_here(processes, str(path), log_file)
    else:
        _launch_on_nodes(nodes, processes, spec["threads"], str(path), log_file)


def _launch_here(processes: int, *arguments: str) -> None:
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
            elastic_launch(config, sys.executable)("-m", __name__, *arguments)
        except SignalException as stopped:
            raise Interrupted(stopped.sigval) from None
        except ChildFailedError as failed:
            _raise_failure(*failed.get_first_failure())


def _launch_on_nodes(nodes: int, processes: int, threads: int, *arguments: str) -> None:
    """Have srun start `processes` on each node of this job's allocation; they meet on this one, its first."""
    allocation = os.environ.get("SLURM_JOB_ID")
    if allocation is None:
        raise ConfigError(f"config: training.nodes: {nodes} machines need Slurm; see workflow/profiles/slurm")
    command = ["srun", f"--nodes={nodes}", f"--ntasks-per-node={processes}", f"--ntasks={nodes * processes}"]
    command += [f"--gres=gpu:{processes}", f"--cpus-per-task={max(1, threads // processes)}", "--mem=0"]
    command += ["--kill-on-bad-exit=1", sys.executable, "-m", __name__, *arguments]
    port = FIRST_PORT + int(allocation) % PORTS  # one job's on a machine that it may share with others
    meeting = {"MASTER_ADDR": socket.gethostname(), "MASTER_PORT": str(port), "LOCAL_WORLD_SIZE": str(processes)}
    status = subprocess.run(command, env=os.environ | meeting, check=False).returncode
    if status in (128 + signal.SIGINT, 128 + signal.SIGTERM):
        raise Interrupted(status - 128)
    if status:
        raise TrainingError(
            f"training on {nodes} nodes ended, srun with {status}, its message is above;"
            " the same command goes on from the last checkpoint"
        )


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
