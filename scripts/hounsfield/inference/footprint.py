"""What a trained network costs to use: parameters, operations, seconds for one scan."""

import os
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import pandas as pd
import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from hounsfield.training.checkpoints import load_model
from hounsfield.training.data import to_hu, to_input
from hounsfield.volumes.settings import PreprocessingSettings
from hounsfield.volumes.store import VolumeStore

COLUMNS = ["parameters", "gigaflops", "seconds_per_scan", "device"]
TIMED = 7


def measure_network(
    checkpoint: str | os.PathLike, dataset: pd.DataFrame, store: VolumeStore, threads: int = 1
) -> pd.DataFrame:
    """One row of COLUMNS, measured on volumes of `dataset` (column key), one at a time.

    gigaflops: of one volume; a multiplication and an addition are two operations, and only those of convolutions and
    matrix products count. seconds_per_scan: from the store to the logits, the median of some volumes after a first
    one. Raises CheckpointError or StoreError.
    """
    torch.set_num_threads(threads)
    model, content = load_model(checkpoint)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device)
    preprocessing = PreprocessingSettings.from_config(content["preprocessing"])

    def score(key: str) -> None:
        hu = to_hu(torch.from_numpy(store.read(key))[None].to(device), preprocessing)
        model(to_input(hu, content["windows"])).cpu()  # the copy waits for the device

    keys = dataset["key"].unique()[: TIMED + 1]
    with torch.inference_mode():
        operations = count_operations(lambda: score(keys[0]))
        seconds = [_timed(score, key) for key in keys[1:]]
    row = [
        sum(parameter.numel() for parameter in model.parameters()),
        operations / 1e9,
        median(seconds) if seconds else float("nan"),
        torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, threads: {threads}",
    ]
    return pd.DataFrame([row], columns=COLUMNS)


def count_operations(work: Callable[[], object]) -> int:
    """Multiplications and additions of the convolutions and matrix products that `work` does on one device."""
    # torch's counter knows the attention of a GPU; of a CPU it leaves it out (and still does, on the way back).
    on_cpu = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention}
    with FlopCounterMode(display=False, custom_mapping=on_cpu) as counter:
        work()
    return counter.get_total_flops()


def _attention(query: torch.Size, key: torch.Size, value: torch.Size, *_: Any, **__: Any) -> int:
    return sdpa_flop_count(query, key, value)


def _timed(score: Callable, key: str) -> float:
    started = time.perf_counter()
    score(key)
    return time.perf_counter() - started
