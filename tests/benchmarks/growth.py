"""Seconds and bytes a volume as a store grows: python tests/benchmarks/growth.py [LARGEST].

Small generated volumes, one core; one more volume, a run with nothing to do, a second setting beside the first.
"""

import logging
import sys
import tempfile
import time
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd

from hounsfield.volumes.preprocess import preprocess_shard
from hounsfield.volumes.settings import PreprocessingSettings
from hounsfield.volumes.store import VolumeStore

SETTINGS = PreprocessingSettings((4.0, 4.0, 4.0), (16, 32, 32))
OTHER = PreprocessingSettings((8.0, 8.0, 8.0), (8, 16, 16))


def main(largest: int):
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        rows = write_volumes(Path(folder), largest + 1)
        preprocess_shard(rows[:1], VolumeStore(Path(folder) / "compile"), SETTINGS, workers=1)
        print("| volumes | ms a volume | bytes a volume | one more, ms | nothing to do, ms a volume |")
        print("|---|---|---|---|---|")
        count = 10
        while count <= largest:
            store = VolumeStore(Path(folder) / f"store{count}")
            first = timed(rows[:count], store)
            size = sum(path.stat().st_size for path in store.root.glob("??/*.ct")) / count
            again = timed(rows[:count], store)
            one_more = timed(rows[: count + 1], store) - again
            cells = (f"{1e3 * first / count:.2f}", f"{size:.0f}", f"{1e3 * one_more:.0f}", f"{1e3 * again / count:.3f}")
            print(f"| {count} | {' | '.join(cells)} |", flush=True)
            count *= 10
        other = timed(rows[:count], store, OTHER)
        print(f"\nsecond setting beside the first: {1e3 * other / len(rows[:count]):.2f} ms a volume, ", end="")
        print(f"then the first again: {1e3 * timed(rows[:count], store) / len(rows[:count]):.3f} ms a volume")


def timed(rows: pd.DataFrame, store: VolumeStore, settings: PreprocessingSettings = SETTINGS) -> float:
    started = time.perf_counter()
    results = preprocess_shard(rows, store, settings, workers=1)
    assert results["key"].nunique() == len(rows)
    return time.perf_counter() - started


def write_volumes(folder: Path, count: int) -> pd.DataFrame:
    """A row of a shard's table for each of `count` written files."""
    random = np.random.default_rng(0)
    records = []
    for index in range(count):
        hu = np.full((32, 32, 16), -1000, np.int16)
        hu[4:-4, 4:-4] = random.normal(0, 30, (24, 24, 16))
        image = nibabel.Nifti1Image(hu, np.diag([4.0, 4.0, 4.0, 1.0]))
        image.header.set_xyzt_units("mm")
        path = folder / f"{index}.nii.gz"
        image.to_filename(path)
        nan = dict.fromkeys(("slope", "intercept", "spacing_z", "spacing_y", "spacing_x"), np.nan)
        records.append({"volume": path.name, "path": str(path), "stamp": "", "hu": "header"} | nan)
    return pd.DataFrame(records)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
