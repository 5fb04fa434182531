"""One training run: everything that decides its result, and where it goes."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from hounsfield.config import canonical
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
        training = split == "train"
        return VolumeBatches(
            self.rows(split),
            self.pathologies,
            self.store,
            self.training.batch_size,
            seed=self.seed,
            sampling=self.training.sampling if training else "none",
            cache_gb=self.training.cache_gb / 2 / world.local_size,  # the other half is the other split's
            workers=min(self.threads, 8),
            world=world,
        )

    @property
    def fingerprint(self) -> str:
        """Digest of settings, code, data and labels; a run may go on with more epochs, or on other GPUs."""
        training = {key: value for key, value in vars(self.training).items() if key not in ("epochs", "gpu", "nodes")}
        rows = self.dataset[["volume", "key", "split", *self.pathologies]]
        parts = {
            "training": {key: str(value) for key, value in training.items()},
            "model": self.model.plain(),
            "preprocessing": self.preprocessing.canonical(),
            "seed": self.seed,
            "code": self.code,
            "dataset": rows[rows["split"] != "test"].to_csv(index=False),
        }
        text = json.dumps(canonical(parts), sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
