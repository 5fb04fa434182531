"""Several processes that train one network together, each on a GPU of its own (or a share of the CPU)."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

FROM_SLURM = {"RANK": "SLURM_PROCID", "WORLD_SIZE": "SLURM_NTASKS", "LOCAL_RANK": "SLURM_LOCALID"}


@dataclass(frozen=True)
class World:
    """This process among those that train together: number `rank` of `size`, on `machines` machines."""

    rank: int = 0
    size: int = 1
    machines: int = 1

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    @property
    def local_size(self) -> int:
        """Processes on this machine, which share its cores and memory."""
        return self.size // self.machines

    def share(self, rows: np.ndarray) -> np.ndarray:
        """The part of a batch's rows that is this process's."""
        return rows[self.rank :: self.size]

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over all processes, in all of them."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def any(self, flag: bool) -> bool:
        """Whether `flag` is true in one of the processes; they wait for one another, but no GPU waits."""
        return bool(self.total(torch.tensor(int(flag)))) if self.size > 1 else flag

    def place(self, model: nn.Module) -> nn.Module:
        """The network with batch norms that see the whole batch; on a CPU torch has none, and each sees its share."""
        spread = self.size > 1 and next(model.parameters()).is_cuda
        return nn.SyncBatchNorm.convert_sync_batchnorm(model) if spread else model

    def connect(self, model: nn.Module) -> nn.Module:
        """The network to call in training: its gradients become the mean over the processes."""
        return DistributedDataParallel(model, gradient_as_bucket_view=True) if self.size > 1 else model


def no_sync(network: nn.Module) -> AbstractContextManager:
    """While gradients are only accumulated, the processes need not exchange them."""
    return network.no_sync() if isinstance(network, DistributedDataParallel) else nullcontext()


@contextmanager
def joined() -> Iterator[World]:
    """The world that torch's launcher, or Slurm's srun, has put this process into, by environment variables."""
    if "RANK" not in os.environ:
        os.environ |= {name: os.environ[slurm] for name, slurm in FROM_SLURM.items()}
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        backend = "cpu:gloo,cuda:nccl"
    distributed.init_process_group(backend)
    try:
        machines = distributed.get_world_size() // int(os.environ["LOCAL_WORLD_SIZE"])
        yield World(distributed.get_rank(), distributed.get_world_size(), machines)
    finally:
        distributed.destroy_process_group()
