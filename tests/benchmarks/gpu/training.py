"""Training on a CUDA GPU: make bench-gpu, or python tests/benchmarks/gpu/training.py [--shapes ...] [--options ...].

Each architecture at two sizes, with each option in turn: volumes a second, augmented, against the same network fed by
one batch that is already on the device, and against the straightforward MONAI loop in float32 with its dictionary
transforms in worker processes; FLOP utilisation (of the plain network) and peak memory. Turn by turn, medians.
"""

import argparse
import os
import statistics
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from monai.utils import set_determinism

sys.path.insert(0, str(Path(__file__).parents[1]))
from loader import fill
from training import BATCH, NETWORKS, Stock, bare_step, make_job, matmul_rate, seconds

from hounsfield.inference.footprint import count_operations
from hounsfield.training.outcome import peak_memory
from hounsfield.training.trainer import prepare, train_epoch
from hounsfield.volumes.store import VolumeStore

DEVICE = torch.device("cuda")
VOLUMES = 16
ROUNDS = 2
EPOCH_S = 1.0  # fewer volumes make an epoch where steps are long
WORKERS = min(8, os.cpu_count())
OPTIONS = {
    "default": {},
    "amp": {"amp": "off"},
    "channels_last": {"channels_last": False},
    "gradient_checkpointing": {"gradient_checkpointing": True},
    "compile": {"compile": True},
}
COLUMNS = ["network", "options", "volumes a second", "of the bare step", "MONAI loop", "ratio", "waits for data"]
COLUMNS += ["of the bf16 matmul rate", "peak memory"]


def main():
    arguments = parse_arguments()
    if not torch.cuda.is_available():
        sys.exit("bench-gpu: torch sees no CUDA GPU here; nothing was measured")
    set_determinism(0)
    peak = matmul_rate(DEVICE, torch.bfloat16)
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, bf16 matrix products {peak / 1e12:.0f} TFLOP/s")
    print(f"batches of {BATCH}, {WORKERS} threads and worker processes\n")
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}", flush=True)
    for shape in arguments.shapes:
        with tempfile.TemporaryDirectory() as folder:
            store, dataset = fill(VolumeStore(Path(folder, "store")), shape, VOLUMES)
            dataset["split"] = "train"
            for network in arguments.networks:
                compare(network, shape, arguments, dataset, store, Path(folder), peak)


def parse_arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--shapes", nargs="+", type=parse_shape, default=[(128, 256, 256), (240, 480, 480)])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--options", nargs="+", choices=OPTIONS, default=OPTIONS)
    parser.add_argument("--without-monai", action="store_true", help="leave the slow side out")
    return parser.parse_args()


def parse_shape(text):
    return tuple(map(int, text.split("x")))


def compare(network, shape, arguments, dataset, store, folder, peak):
    """Print a row an option."""

    def job(training, volumes=VOLUMES):
        rows = pd.concat([dataset.iloc[:volumes], dataset.iloc[:BATCH].assign(split="val")], ignore_index=True)
        return make_job(rows, store, NETWORKS[network], training, shape, folder, WORKERS)

    stock = None if arguments.without_monai else guarded(lambda: stock_speed(job({}), folder / "monai"))
    flops = guarded(lambda: count_operations(bare_step(job({}), DEVICE)) / BATCH)
    for option in arguments.options:
        found = guarded(lambda option=option: measure(partial(job, OPTIONS[option])))
        name = " | ".join([f"{network}, {'x'.join(map(str, shape))}", as_text(OPTIONS[option])])
        print(f"| {name} | {' | '.join(cells(found, stock, flops, peak))} |", flush=True)


def guarded(work):
    """What `work` returns; None where the GPU's memory ran out."""
    torch.cuda.empty_cache()
    try:
        return work()
    except torch.OutOfMemoryError:
        return None


def stock_speed(job, folder):
    """Volumes a second of the MONAI loop, once its workers are there."""
    monai = Stock(job, folder, DEVICE, WORKERS)
    times = [seconds(monai.epoch, DEVICE) for _ in range(1 + ROUNDS)]
    return VOLUMES / statistics.median(times[1:])


def measure(job):
    """Volumes a second of an epoch and of the bare step, the share of time spent waiting, and GiB."""
    step = bare_step(job(), DEVICE)
    seconds(step, DEVICE)
    steps = int(np.clip(EPOCH_S / seconds(step, DEVICE), 3, VOLUMES // BATCH))
    training, state = prepare(job(steps * BATCH))
    torch.cuda.reset_peak_memory_stats()
    times, waits = {"epoch": [], "bare": []}, []
    for _ in range(1 + ROUNDS):
        state.epoch_step, state.loss_sum = 0, 0.0
        times["epoch"].append(seconds(lambda: waits.append(train_epoch(state, training)["data_wait_share"]), DEVICE))
        times["bare"].append(seconds(lambda: [step() for _ in range(steps)], DEVICE))
    speed = {name: steps * BATCH / statistics.median(each[1:]) for name, each in times.items()}
    return speed, statistics.median(waits[1:]), peak_memory(DEVICE)["peak_gpu_memory_mb"] / 1024


def cells(found, stock, flops, peak):
    monai = f"{stock:.2f}" if stock else ""
    if found is None:
        return ["out of memory", "", monai, "", "", "", ""]
    speed, waiting, memory = found
    return [
        f"{speed['epoch']:.2f}",
        f"{speed['epoch'] / speed['bare']:.2f}",
        monai,
        f"{speed['epoch'] / stock:.1f}x" if stock else "",
        f"{100 * waiting:.1f} %",
        f"{100 * flops * speed['epoch'] / peak:.0f} %" if flops else "",
        f"{memory:.1f} GiB",
    ]


def as_text(option):
    return ", ".join(f"{key}: {str(value).lower()}" for key, value in option.items()) or "as by default"


if __name__ == "__main__":
    main()
