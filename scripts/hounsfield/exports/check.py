"""The scans that every format is tried on, with the workflow's own scores of them."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy.special import expit

from hounsfield.errors import ExportError
from hounsfield.exports.trained import Trained
from hounsfield.layout import RunFolder
from hounsfield.tables import read_dataset, read_table
from hounsfield.training.data import VolumeBatches, to_hu
from hounsfield.training.precision import Precision
from hounsfield.training.validation import predict_logits
from hounsfield.volumes.preprocess import SHARD_TEXT, preprocess_shard
from hounsfield.volumes.store import VolumeStore

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Check:
    """rows: of each scan, columns of shards/*.tsv with `hu_source`. stored: voxels (z, y, x) of each, as stored.

    probabilities: (N, P), by PyTorch in float32 on the CPU, from the stored voxels.
    """

    rows: pd.DataFrame
    stored: list[np.ndarray]
    probabilities: np.ndarray

    def score(self, trained: Trained, scorer: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Probabilities (N, P) by `scorer`, which takes HU (B, 1, D, H, W) float32 and is given batches of 1 and 2."""
        return np.concatenate([scorer(hu) for hu in self._batches(trained)])

    def _batches(self, trained: Trained) -> Iterator[np.ndarray]:
        for first in (0, *range(1, len(self.stored), 2)):
            stacked = np.stack(self.stored[first : first + (2 if first else 1)])
            yield to_hu(torch.from_numpy(stacked), trained.preprocessing).numpy()


def make_check(trained: Trained, rows: pd.DataFrame, store: VolumeStore, threads: int) -> Check:
    """Preprocess the scans of `rows` (columns of shards/*.tsv) into `store`, unless they are there, and score them.

    A scan that is refused is named in the log. Raises ExportError if none is left, StoreError or OSError.
    """
    torch.set_num_threads(threads)
    stored = preprocess_shard(rows, store, trained.preprocessing, threads)
    stored = stored[stored["reason"].isna()].reset_index(drop=True)
    if stored.empty:
        raise ExportError("none of the scans can be read, so that no format can be compared; give others with --input")
    dataset = stored[["volume", "key"]].assign(**dict.fromkeys(trained.pathologies, np.nan))
    batches = VolumeBatches(dataset, trained.pathologies, store, 1, sampling="none", workers=threads)
    windows, flip = trained.content["windows"], trained.network.flip
    precision = Precision(torch.device("cpu"))
    logits = predict_logits(trained.model, batches, trained.preprocessing, windows, precision, flip)
    calibrated = trained.points["scale"].to_numpy() * logits + trained.points["offset"].to_numpy()
    rows = stored[["volume", "hu_source"]].merge(rows, on="volume")
    return Check(rows, [store.read(key) for key in stored["key"]], expit(calibrated))


def validation_rows(run: RunFolder, count: int) -> pd.DataFrame:
    """Rows of shards/*.tsv of the first `count` validation volumes. Raises TableError, or ExportError for none.

    Folds share the shards of the whole run.
    """
    dataset = read_dataset(run.cohort("dataset"))
    chosen = dataset.loc[dataset["split"] == "val", "volume"].head(count)
    shards_of_run = run.whole.shard("*")
    paths = sorted(shards_of_run.parent.glob(shards_of_run.name))
    shards = [read_table(path, SHARD_TEXT) for path in paths]
    found = [shard[shard["volume"].isin(chosen)] for shard in shards]
    if not sum(map(len, found)):
        raise ExportError(f"{run.path}: has no validation scan to compare the formats on; give some with --input")
    return pd.concat(found, ignore_index=True)
