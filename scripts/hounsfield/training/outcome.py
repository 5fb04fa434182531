"""What a training run leaves: best.pth, final.pth, history.tsv, and a line of the log for each epoch."""

import logging
from typing import Any

import pandas as pd
import torch

from hounsfield.memory import peak_memory_mb
from hounsfield.tables import write_table
from hounsfield.training.checkpoints import save_checkpoint
from hounsfield.training.content import own_options
from hounsfield.training.job import TrainingJob
from hounsfield.training.state import TrainingState

# What, beside the weights, decides a score's last bits.
INFERENCE = ("batch_size", "amp", "channels_last", "test_time_flip")

log = logging.getLogger(__name__)


def write_results(state: TrainingState, job: TrainingJob) -> None:
    """Write best.pth and final.pth, each with all that inference needs, and history.tsv. Raises OSError."""
    common = {
        "model": job.model.plain() | {"options": own_options(job.model.options)},
        "pathologies": list(job.pathologies),
        "preprocessing": job.preprocessing.canonical(),
        "inference": {name: getattr(job.training, name) for name in INFERENCE},
        "windows": [list(map(float, window)) for window in job.training.windows],
    }
    metrics = {name: value for name, value in state.history[-1].items() if name.startswith("val_")}
    final = {"weights": state.weights(), "epoch": state.epoch - 1, "metrics": metrics}
    save_checkpoint(common | final, job.directory / "final.pth")
    save_checkpoint(common | state.best, job.directory / "best.pth")
    write_table(pd.DataFrame(state.history), job.directory / "history.tsv")
    log.info("best epoch %d of %d", state.best["epoch"] + 1, state.epoch)


def log_epoch(row: dict[str, Any], epochs: int) -> None:
    """Say how the epoch of a row of the history went, of `epochs` at most."""
    log.info(
        "epoch %d of %d: loss %.4f, validation loss %.4f, macro AUROC %.4f; %.1f volumes/s, %.0f %% waiting for data",
        row["epoch"] + 1,
        epochs,
        row["train_loss"],
        row["val_loss"],
        row["val_roc_auc_macro"],
        row["samples_per_second"],
        100 * row["data_wait_share"],
    )


def peak_memory(device: torch.device) -> dict[str, float | None]:
    """Highest use so far in MiB, of this process's memory and of its GPU's."""
    on_gpu = torch.cuda.max_memory_allocated() / 2**20 if device.type == "cuda" else None
    return {"peak_memory_mb": peak_memory_mb(), "peak_gpu_memory_mb": on_gpu}
