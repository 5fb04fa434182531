"""One training run: everything that decides its result, and where it goes."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from hounsfield.config import canonical, deciding
from hounsfield.errors import TableError
from hounsfield.models.settings import ModelSettings
from hounsfield.tables import read_dataset
from hounsfield.training.data import ALONE, VolumeBatches
from hounsfield.training.distributed import World
from hounsfield.training.settings import TrainingSettings
from hounsfield.volumes.remake import store_of_run
from hounsfield.volumes.settings import PreprocessingSettings
from hounsfield.volumes.store import VolumeStore


@dataclass(frozen=True)
class TrainingJob:
    """directory: takes the results. dataset: rows of dataset.tsv. code: digest of the code, part of the fingerprint.

    block: the model's block of the configuration; training: the training block with the model's changes.
    tracking: the wandb block, and the run's name. threads: CPU cores of the job.
    """

    directory: Path
    dataset: pd.DataFrame
    pathologies: tuple[str, ...]
    store: VolumeStore
    preprocessing: PreprocessingSettings
    training: TrainingSettings
    block: Mapping[str, Any]
    seed: int = 0
    code: str = ""
    threads: int = 1
    tracking: Mapping[str, Any] = field(default_factory=lambda: {"mode": "disabled"})

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "TrainingJob":
        """From plain values under the fields' names: `dataset` and `store` as paths, settings as blocks.

        Raises ConfigError or TableError.
        """
        return cls(
            directory=Path(spec["directory"]),
            dataset=read_dataset(spec["dataset"]),
            pathologies=tuple(spec["pathologies"]),
            store=store_of_run(spec, spec["dataset"]),
            preprocessing=PreprocessingSettings.from_config(spec["preprocessing"]),
            training=TrainingSettings.from_config(spec["training"]),
            **{name: spec[name] for name in ("block", "seed", "code", "threads", "tracking")},
        )

    @property
    def model(self) -> ModelSettings:
        """The network's settings."""
        return ModelSettings.from_config(self.block, len(self.training.windows), self.preprocessing.shape)

    def rows(self, split: str) -> pd.DataFrame:
        """The dataset's rows of a split. Raises TableError if there are none."""
        rows = self.dataset[self.dataset["split"] == split].reset_index(drop=True)
        if rows.empty:
            raise TableError(f"dataset.tsv: no volume is in the {split} split; check the split block")
        return rows

    def batches(self, split: str, world: World = ALONE) -> VolumeBatches:
        """Batches of a split, for this process of those that train; only training's are shuffled."""
        training, rows = split == "train", self.rows(split)
        if len(rows) < world.size:
            raise TableError(
                f"dataset.tsv: the {split} split has {len(rows)} volumes for {world.size} processes; lower training.gpu"
            )
        return VolumeBatches(
            rows,
            self.pathologies,
            self.store,
            self.training.batch_size,
            seed=self.seed,
            sampling=self.training.sampling if training else "none",
            cache_gb=self.training.cache_gb * self._share_of(split) / world.local_size,
            workers=min(self.threads, 8),
            world=world,
        )

    def _share_of(self, split: str) -> float:
        """The part of the RAM cache that is a split's, by the bytes of its volumes."""
        size = {
            name: sum(map(self.store.size, self.dataset.loc[self.dataset["split"] == name, "key"]))
            for name in ("train", "val")
        }
        return size[split] / sum(size.values())

    @cached_property
    def fingerprint(self) -> str:
        """Digest of all that decides the result: settings, code, data, labels, and what training starts from.

        Which of the settings do is for `hounsfield.config.NEUTRAL` to say. Raises OSError.
        """
        training = deciding(vars(self.training), "training")
        rows = self.dataset[["volume", "key", "split", *self.pathologies]]
        starts = {"weights": self.model.weights, "continue_from": self.training.continue_from}
        parts = {
            # What a file holds decides, and not where it lies.
            "starts": {key: path and content_digest(path) for key, path in starts.items()},
            "training": {key: str(value) for key, value in training.items() if key != "continue_from"},
            "model": self.model.plain() | {"weights": None},
            "preprocessing": self.preprocessing.canonical(),
            "seed": self.seed,
            "code": self.code,
            "dataset": rows[rows["split"] != "test"].to_csv(index=False),
        }
        text = json.dumps(canonical(parts), sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def content_digest(path: str) -> str:
    """Hex digest of a file's bytes. Raises OSError."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
