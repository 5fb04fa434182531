"""The peak memory of every stage as a cohort grows: python tests/benchmarks/memory.py [VOLUMES ...].

Whole runs of the workflow on small volumes, so that what grows is the cohort and not the volume; each stage says in
its log what it used at most. A row a stage (its largest job), a column a cohort, in MB.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from growth import write_volumes

ROOT = Path(__file__).parents[2]
PATHOLOGIES = ["first", "second", "third"]
CONFIG = {
    "name": "growing",
    "threads": 2,
    "cohort": {
        "volumes": "volumes",
        "labels": ["labels.csv"],
        "pathologies": PATHOLOGIES,
        "volume_pattern": None,
        "patient_column": "patient",
        "shards": 8,
    },
    "preprocessing": {"spacing": [4, 4, 4], "shape": [16, 32, 32]},
    "training": {"epochs": 1, "batch_size": 16},
    "models": {"resnet": {"architecture": "resnet3d", "variant": "10", "options": {"widen_factor": 0.25}}},
}


def main(sizes: list[int]):
    peaks = pd.DataFrame({size: peaks_of_a_run(size) for size in sizes})
    print(f"| stage | {' | '.join(f'{size:,} volumes' for size in sizes)} |\n|{'---|' * (len(sizes) + 1)}")
    for stage, row in peaks.iterrows():
        print(f"| {stage} | {' | '.join(f'{value:.0f}' for value in row)} |")


def peaks_of_a_run(size: int) -> dict[str, float]:
    """MB by stage."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("workflow", "scripts", "envs"):
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        write_cohort(folder, size)
        (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG))
        command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", "config.yaml", "--quiet", "all"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        peaks = {}
        for log in sorted((folder / "results/growing/logs").rglob("*.log")):
            for stage, megabytes in re.findall(r"(\w+): finished, with (\d+) MB", log.read_text()):
                peaks[stage] = max(peaks.get(stage, 0), float(megabytes))
        return peaks


def write_cohort(folder: Path, size: int) -> None:
    """Volumes of noise, and labels that mean nothing."""
    (folder / "volumes").mkdir()
    names = write_volumes(folder / "volumes", size)["volume"]
    labels = np.random.default_rng(0).random((size, len(PATHOLOGIES))) < 0.3
    table = pd.DataFrame(labels.astype(int), columns=PATHOLOGIES)
    table.insert(0, "VolumeName", names)
    table.insert(1, "patient", [f"p{index // 2}" for index in range(size)])
    table.to_csv(folder / "labels.csv", index=False)


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or [200, 2_000, 10_000])
