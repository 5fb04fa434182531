"""Training on a CUDA GPU: make bench-gpu, or python tests/benchmarks/gpu/training.py [VOLUMES].

Each architecture at two sizes, with each option in turn: volumes a second against the same network fed by one batch
that is already on the device, and against the straightforward MONAI loop; FLOP utilisation and peak memory.
"""

import sys
import tempfile
from pathlib import Path

import torch
from monai.utils import set_determinism

sys.path.insert(0, str(Path(__file__).parents[1]))
from training import BATCH, NETWORKS, compare, matmul_rate

SHAPES = ((128, 256, 256), (240, 480, 480))
OPTIONS = {
    "as configured by default": {},
    "amp: off": {"amp": "off"},
    "channels_last: false": {"channels_last": False},
    "compile: true": {"compile": True},
    "gradient_checkpointing: true": {"gradient_checkpointing": True},
}
COLUMNS = ["network", "option", "volumes a second", "of the bare step", "MONAI loop", "ratio", "waits for data"]
COLUMNS += ["of the bf16 matmul rate", "peak memory"]


def main(count):
    if not torch.cuda.is_available():
        sys.exit("bench-gpu: torch sees no CUDA GPU here; nothing was measured")
    set_determinism(0)
    device = torch.device("cuda")
    peak = matmul_rate(device, torch.bfloat16)
    print(f"{torch.cuda.get_device_name()}, bf16 matrix products: {peak / 1e12:.0f} TFLOP/s, batches of {BATCH}\n")
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for shape in SHAPES:
        for name, block in NETWORKS.items():
            for option, training in OPTIONS.items():
                line = measure(block, training, shape, count, device, peak)
                print(f"| {name}, {'x'.join(map(str, shape))} | {option} | {line} |", flush=True)


def measure(block, training, shape, count, device, peak):
    torch.cuda.empty_cache()
    try:
        with tempfile.TemporaryDirectory() as folder:
            found = compare(block, training, shape, count, Path(folder), device)
    except torch.cuda.OutOfMemoryError:
        return "out of memory" + " |" * (len(COLUMNS) - 3)
    speed = found.speed
    cells = [
        f"{speed['epoch']:.2f}",
        f"{speed['epoch'] / speed['bare']:.2f}",
        f"{speed['stock epoch']:.2f}",
        f"{speed['epoch'] / speed['stock epoch']:.1f}x",
        f"{100 * found.waiting:.1f} %",
        f"{100 * found.flops * speed['epoch'] / peak:.0f} %",
        f"{found.gpu_memory:.1f} GiB",
    ]
    return " | ".join(cells)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 16)
