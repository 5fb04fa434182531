"""Losses over several labels; an unknown label (nan) counts for nothing."""

from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional

from hounsfield.errors import ConfigError
from hounsfield.training.settings import LossSettings

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def create_loss(settings: LossSettings, train_labels: np.ndarray) -> Loss:
    """A loss from logits and labels (B, P) to (B, P), 0 where the label is unknown.

    `train_labels` (N, P), of the training split, gives bce its weights. Raises ConfigError for an unknown kind.
    """
    kinds = {
        "bce": _bce(settings, train_labels),
        "focal": _focal(settings),
        "asymmetric": _asymmetric(settings),
    }
    if settings.kind not in kinds:
        raise ConfigError(f"config: training.loss.kind: {settings.kind!r} is not one of {', '.join(kinds)}")
    loss = kinds[settings.kind]

    def masked(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        known = ~torch.isnan(labels)
        # Replaced before the loss, as nan times zero would still be nan in the gradient.
        return loss(logits.float(), torch.where(known, labels, 0.0)) * known

    return masked


def positive_weights(train_labels: np.ndarray, most: float) -> np.ndarray:
    """Negatives for each positive of every label (P,), between 1 / `most` and `most`; 1 where one kind is absent."""
    positives = (train_labels == 1).sum(axis=0)
    negatives = (train_labels == 0).sum(axis=0)
    weights = np.where((positives > 0) & (negatives > 0), negatives / np.maximum(positives, 1), 1.0)
    return np.clip(weights, 1 / most, most).astype(np.float32)


def _bce(settings: LossSettings, train_labels: np.ndarray) -> Loss:
    weights = torch.from_numpy(positive_weights(train_labels, settings.max_pos_weight))

    def loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        weight = weights.to(logits.device, non_blocking=True)
        return functional.binary_cross_entropy_with_logits(logits, labels, pos_weight=weight, reduction="none")

    return loss


def _focal(settings: LossSettings) -> Loss:
    """Lin et al., 2017; alpha weighs positives and 1 - alpha negatives, so that neither is silenced."""

    def loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        cross_entropy = functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
        missed = torch.exp(-cross_entropy)  # the probability given to the true answer
        weight = torch.where(labels == 1, settings.alpha, 1 - settings.alpha)
        return weight * (1 - missed) ** settings.gamma * cross_entropy

    return loss


def _asymmetric(settings: LossSettings) -> Loss:
    """Ben-Baruch et al., 2021: negatives are focused more than positives, and the easiest are dropped."""

    def loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        probability = torch.sigmoid(logits)
        shifted = (probability - settings.clip).clamp(min=0)
        positive = functional.logsigmoid(logits) * (1 - probability) ** settings.gamma_positive
        negative = torch.log1p(-shifted.clamp(max=1 - 1e-7)) * shifted**settings.gamma
        return -torch.where(labels == 1, positive, negative)

    return loss
