"""What Snakemake needs to plan a large cohort: python tests/benchmarks/planning.py [VOLUMES ...].

Tables as CT-RATE's, tiny files for volumes, a store that is already filled, 64 shards. Printed for each size: a run
with nothing to do (seconds and MB), and a run after one volume was added (jobs and seconds).
"""

import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import yaml

from hounsfield.tables import read_table
from hounsfield.volumes.preprocess import SHARD_TEXT, reading_settings
from hounsfield.volumes.settings import PreprocessingSettings
from hounsfield.volumes.sources import look_at
from hounsfield.volumes.store import VolumeStore
from manifest import PATH, PATHOLOGIES, SHARDS, write_cohort

ROOT = Path(__file__).parents[2]
PREPROCESSING = {"spacing": [8, 8, 8], "shape": [4, 4, 4]}
TARGET = "results/large/cohort/dataset.tsv"
FACTS = {"hu_source": "header"} | {f"{what}_{axis}": 2 for what in ("shape", "spacing") for axis in "zyx"}


def main(sizes: list[int]):
    print("| volumes | plan with nothing to do | peak memory | one volume more | its jobs |\n|---|---|---|---|---|")
    for size in sizes:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            prepare(folder, size)
            snakemake(folder, "results/large/cohort/manifest.tsv")
            fill_store(folder)
            snakemake(folder)
            output, seconds, megabytes = snakemake(folder, dry=True)
            assert "Nothing to be done" in output
            add_volume(folder)
            output, more, _ = snakemake(folder)
            jobs = Counter(re.findall(r"^Finished jobid: .* \(Rule: (\w+)\)", output, flags=re.M))
            told = ", ".join(f"{count} {rule}" for rule, count in jobs.items())
            print(f"| {size} | {seconds:.1f} s | {megabytes:.0f} MB | {more:.1f} s | {told} |", flush=True)


def prepare(folder: Path, size: int) -> None:
    write_cohort(folder, size)
    for name in ("workflow", "scripts", "envs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    cohort = {"volumes": "volumes", "labels": ["labels.csv"], "metadata": ["metadata.csv"], "path": PATH}
    cohort |= {"pathologies": PATHOLOGIES, "shards": SHARDS}
    models = {"vit": {"architecture": "vit3d", "variant": "tiny", "options": {"patch_size": 4}}}
    config = {"name": "large", "cohort": cohort, "preprocessing": PREPROCESSING, "models": models}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))


def fill_store(folder: Path) -> None:
    """A tiny volume of its own under the key of each row."""
    store, settings = VolumeStore(folder / "results/store"), PreprocessingSettings.from_config(PREPROCESSING)
    voxels, number = np.zeros((4, 4, 4), np.int16), itertools.count()
    for path in sorted((folder / "results/large/cohort/shards").glob("*.tsv")):
        for row in read_table(path, SHARD_TEXT).to_dict("records"):
            voxels.ravel()[:2] = divmod(next(number), 2**15)  # no two images alike
            content = store.sources.digest(look_at(row["path"]))
            store.write(store.key(content, reading_settings(row), settings.canonical()), voxels, FACTS)


def add_volume(folder: Path) -> None:
    """One more row in both tables, and its file."""
    for name in ("labels", "metadata"):
        table = pd.read_csv(folder / f"{name}.csv", dtype=str)
        last = table.iloc[[-1]].assign(VolumeName="train_999999_a_1.nii.gz")
        pd.concat([table, last]).to_csv(folder / f"{name}.csv", index=False)
    place = folder / "volumes/train_999999/train_999999_a"
    place.mkdir(parents=True)
    hu = np.full((16, 16, 8), -1000, np.int16)
    hu[4:-4, 4:-4] = np.random.default_rng(0).normal(0, 30, (8, 8, 8))
    nibabel.save(nibabel.Nifti1Image(hu, np.diag([4.0, 4.0, 4.0, 1.0])), place / "train_999999_a_1.nii.gz")


def snakemake(folder: Path, target: str = TARGET, dry: bool = False) -> tuple[str, float, float]:
    """Output, seconds and peak memory (MB) of Snakemake's own process."""
    command = [sys.executable, "-m", "snakemake", target, "--cores", "2", "--configfile", "config.yaml"]
    started = time.perf_counter()
    with open(folder / "output", "w") as output:
        process = subprocess.Popen(command + ["-n"] * dry, cwd=folder, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    text = (folder / "output").read_text()
    assert status == 0, text[-3000:]
    return text, seconds, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or [1_000, 10_000, 50_000])
