"""A folder of volumes and tables to write into, and the cohort that is made of it."""

import csv
import gzip
import os
from pathlib import Path

import pytest

from hounsfield.cohort.manifest import build_manifest
from hounsfield.cohort.settings import CohortSettings, SplitSettings


class Site:
    """Tiny files and tables below `folder`; `build` makes the manifest of them."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.volumes = folder / "volumes"
        self.volumes.mkdir()
        self.cache = folder / "cache" / "splits.tsv"

    def volume(self, path: str, content: str | None = None) -> Path:
        target = self.volumes / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(gzip.compress((content or path).encode()))
        return target

    def table(self, name: str, rows: list[dict]) -> str:
        path = self.folder / name
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return os.fspath(path)

    def cohort(self, **changes) -> CohortSettings:
        block = {
            "volumes": os.fspath(self.volumes),
            "labels": [os.fspath(self.folder / "labels.csv")],
            "pathologies": ["nodule", "effusion"],
        }
        return CohortSettings.from_config(block | changes)

    def build(self, split=None, seed=0, **changes):
        block = {"require_positives": []} | (split or {})
        return build_manifest(self.cohort(**changes), SplitSettings.from_config(block), seed, self.cache)

    def patients(self, count: int, start: int = 1) -> list[dict]:
        """Label rows of `count` patients with two reconstructions each, whose volumes it writes."""
        rows = []
        for number in range(start, start + count):
            labels = {"nodule": number % 2, "effusion": number // 2 % 2}
            for recon in (1, 2):
                name = f"train_{number}_a_{recon}.nii.gz"
                self.volume(name)
                rows.append({"VolumeName": name} | labels)
        return rows


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)
