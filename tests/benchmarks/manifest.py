"""How long the manifest of a cohort of CT-RATE's size takes, and how much memory: python tests/benchmarks/manifest.py.

Writes tables of 44 metadata columns and as many tiny files as volumes into a temporary folder; prints a line a run.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from hounsfield.cohort.manifest import build_manifest, write_shards
from hounsfield.cohort.settings import CohortSettings, SplitSettings

PATHOLOGIES = [f"finding {number}" for number in range(18)]
PATH = "{patient}/{scan}/{volume}.nii.gz"
SHARDS = 64


def write_cohort(folder: Path, volumes: int) -> None:
    """Two reconstructions a scan, nested as CT-RATE's, with labels.csv and metadata.csv."""
    random = np.random.default_rng(0)
    patients = np.arange(volumes) // 2
    names = [f"train_{patient}_a_{index % 2 + 1}" for index, patient in enumerate(patients)]
    for patient, name in zip(patients, names, strict=True):
        place = folder / "volumes" / f"train_{patient}" / f"train_{patient}_a"
        if name.endswith("_1"):
            place.mkdir(parents=True)
        (place / f"{name}.nii.gz").write_bytes(name.encode())
    files = pd.Series(names, name="VolumeName") + ".nii.gz"
    labels = random.random((volumes // 2 + 1, len(PATHOLOGIES)))[patients] < np.linspace(0.05, 0.5, len(PATHOLOGIES))
    pd.concat([files, pd.DataFrame(labels.astype(int), columns=PATHOLOGIES)], axis=1).to_csv(
        folder / "labels.csv", index=False
    )
    facts = {"RescaleSlope": 1, "RescaleIntercept": -1024, "ZSpacing": 1.25, "XYSpacing": "[0.7, 0.7]"}
    others = {f"Column {number}": np.round(random.random(volumes), 6) for number in range(43 - len(facts))}
    pd.concat([files, pd.DataFrame(facts | others, index=files.index)], axis=1).to_csv(
        folder / "metadata.csv", index=False
    )


def measure(folder: Path, path: str | None) -> str:
    """Build the manifest once; time in seconds and peak memory of this process in MB."""
    cohort = CohortSettings.from_config(
        {
            "volumes": os.fspath(folder / "volumes"),
            "labels": [os.fspath(folder / "labels.csv")],
            "metadata": [os.fspath(folder / "metadata.csv")],
            "pathologies": PATHOLOGIES,
            "path": path,
            "shards": SHARDS,
        }
    )
    begin = time.perf_counter()
    manifest = build_manifest(cohort, SplitSettings(), 0, folder / "cache" / "splits.tsv")
    write_shards(manifest, folder / "shards", SHARDS)
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return f"{len(manifest.volumes)} volumes: {seconds:.1f} s, peak {peak:.0f} MB"


def main() -> None:
    """Measure a first run, a second one, and one that finds files by name, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--volumes", type=int, default=50_000)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--path", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.folder:
        print(measure(options.folder, options.path))
        return
    with tempfile.TemporaryDirectory() as name:
        write_cohort(Path(name), options.volumes)
        for what, path in (("first run", PATH), ("second run", PATH), ("second run, by name", None)):
            command = [sys.executable, os.path.abspath(__file__), "--folder", name]
            command += ["--path", path] if path else []
            print(what, subprocess.run(command, check=True, capture_output=True, text=True).stdout, end="", sep=": ")


if __name__ == "__main__":
    main()
