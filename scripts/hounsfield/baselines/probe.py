"""A linear probe: logistic regression on the features of a network that is left as it is (Alain and Bengio, 2017)."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.base import ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from hounsfield.models.create import create_model
from hounsfield.models.settings import ModelSettings
from hounsfield.models.stages import features_layer
from hounsfield.training.checkpoints import load_model
from hounsfield.training.data import VolumeBatches
from hounsfield.training.precision import Precision
from hounsfield.training.settings import TrainingSettings
from hounsfield.training.state import seed_everything
from hounsfield.training.validation import predict_logits
from hounsfield.volumes.settings import PreprocessingSettings
from hounsfield.volumes.store import VolumeStore


@dataclass(frozen=True)
class FrozenNetwork:
    """A network in evaluation mode, on the CPU, and what it was made from."""

    model: nn.Module
    settings: ModelSettings

    @classmethod
    def trained(cls, checkpoint: str | os.PathLike) -> "FrozenNetwork":
        """Of a best.pth or final.pth. Raises CheckpointError."""
        model, content = load_model(checkpoint)
        block = {key: content["model"][key] for key in ("architecture", "variant", "options")}
        return cls(model, ModelSettings.from_config(block, len(content["windows"]), tuple(content["model"]["shape"])))

    @classmethod
    def untrained(
        cls, block: Mapping[str, Any], windows: int, shape: tuple[int, int, int], seed: int
    ) -> "FrozenNetwork":
        """As training under this seed would start: with the block's `weights` if it names any.

        Raises ConfigError or CheckpointError.
        """
        seed_everything(seed)
        settings = ModelSettings.from_config(block, windows, shape)
        return cls(create_model(settings, 1).eval(), settings)


def extract_features(
    network: FrozenNetwork,
    dataset: pd.DataFrame,
    store: VolumeStore,
    training: TrainingSettings,
    preprocessing: PreprocessingSettings,
    threads: int = 1,
) -> np.ndarray:
    """(N, F) float64 of the dataset's rows: what the head is given, of slices their mean.

    Volumes as in validation, without augmentation. Raises StoreError, or ConfigError for a network without stages.
    """
    torch.set_num_threads(threads)
    precision = Precision.choose(training.amp, training.channels_last)
    batches = VolumeBatches(dataset, (), store, training.batch_size, sampling="none", workers=threads)
    kept: list[torch.Tensor] = []
    layer = features_layer(network.model, network.settings, "baselines")
    hook = layer.register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0].float().cpu()))
    try:
        predict_logits(precision.place(network.model), batches, preprocessing, training.windows, precision)
    finally:
        hook.remove()
    features = torch.cat(kept).double()  # in which the regressions converge better
    return (features.mean(dim=1) if features.ndim == 3 else features).numpy()


def probe_candidates() -> Sequence[ClassifierMixin]:
    """Logistic regressions on scaled features, the strongest regularisation first."""
    strengths = (10.0**power for power in range(-5, 3))
    return [make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=5000)) for strength in strengths]
