"""A trained network's logits for one split."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch

from hounsfield.errors import CheckpointError, TableError
from hounsfield.predictions import prediction_table
from hounsfield.training.checkpoints import load_model
from hounsfield.training.data import VolumeBatches
from hounsfield.training.precision import Precision
from hounsfield.training.settings import TrainingSettings
from hounsfield.training.validation import predict_logits
from hounsfield.volumes.settings import PreprocessingSettings
from hounsfield.volumes.store import VolumeStore


def predict_split(
    checkpoint: str | os.PathLike,
    dataset: pd.DataFrame,
    store: VolumeStore,
    training: TrainingSettings,
    preprocessing: Mapping[str, Any],
    threads: int = 1,
) -> pd.DataFrame:
    """Columns volume, scan, patient, then `label {pathology}` and `logit {pathology}`; a row a row of `dataset`.

    A label that `dataset` lacks is unknown. `preprocessing`: that of the stored volumes. Raises CheckpointError if the
    network was trained on another, or gives a score that is not finite; TableError if `dataset` is empty.
    """
    if dataset.empty:
        raise TableError("dataset.tsv: no volume is in the split that is to be scored; check the split block")
    model, content = load_model(checkpoint)
    stored = PreprocessingSettings.from_config(preprocessing)
    if stored.canonical() != content["preprocessing"]:
        raise CheckpointError(
            f"{checkpoint}: trained on volumes preprocessed otherwise ({content['preprocessing']}); train it again"
        )
    torch.set_num_threads(threads)
    precision = Precision.choose(training.amp, training.channels_last)
    pathologies = content["pathologies"]
    dataset = dataset.assign(**{name: np.nan for name in pathologies if name not in dataset})
    batches = VolumeBatches(dataset, pathologies, store, training.batch_size, sampling="none", workers=threads)
    logits = predict_logits(
        precision.place(model), batches, stored, content["windows"], precision, training.test_time_flip
    )
    bad = np.argwhere(~np.isfinite(logits))
    if len(bad):
        row, column = bad[0]
        raise CheckpointError(
            f"{checkpoint}: its score of {pathologies[column]!r} for {dataset['volume'].iloc[row]} is not finite;"
            " look at the volume with `hounsfield inspect`, or train again with amp: off"
        )
    return prediction_table(dataset, pathologies, logits)
