"""Losses: unknown labels count for nothing, negatives count for something."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from hounsfield.errors import ConfigError
from hounsfield.training.losses import create_loss, positive_weights
from hounsfield.training.settings import LossSettings

LABELS = np.array([[1, 0], [0, 0], [0, 1], [0, np.nan]], np.float32)


@pytest.mark.parametrize("kind", ["bce", "focal", "asymmetric"])
def test_an_unknown_label_has_no_loss_and_no_gradient(kind):
    loss = create_loss(LossSettings(kind), LABELS)
    logits = torch.randn(4, 2, requires_grad=True)
    values = loss(logits, torch.from_numpy(LABELS))
    values.sum().backward()
    assert values[3, 1] == 0 and logits.grad[3, 1] == 0
    known = ~np.isnan(LABELS)
    assert (values[known] > 0).all() and (logits.grad[known] != 0).all()
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("kind", ["bce", "focal", "asymmetric"])
def test_the_gradient_goes_towards_the_label(kind):
    logits = torch.zeros(4, 2, requires_grad=True)
    create_loss(LossSettings(kind), LABELS)(logits, torch.from_numpy(LABELS)).sum().backward()
    assert (logits.grad[LABELS == 1] < 0).all() and (logits.grad[LABELS == 0] > 0).all()


def test_bce_without_weights_is_torchs():
    logits = torch.randn(4, 2)
    labels = torch.nan_to_num(torch.from_numpy(LABELS))
    expected = functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    torch.testing.assert_close(create_loss(LossSettings(max_pos_weight=1.0), LABELS)(logits, labels), expected)


def test_focal_and_asymmetric_without_focus_are_bce():
    logits = torch.randn(4, 2)
    labels = torch.nan_to_num(torch.from_numpy(LABELS))
    expected = functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    focal = create_loss(LossSettings("focal", gamma=0, alpha=0.5), LABELS)(logits, labels)
    asymmetric = create_loss(LossSettings("asymmetric", gamma=0, clip=0), LABELS)(logits, labels)
    torch.testing.assert_close(2 * focal, expected)
    torch.testing.assert_close(asymmetric, expected, rtol=1e-4, atol=1e-5)


def test_positive_weights_are_the_ratio_capped():
    labels = np.zeros((100, 3), np.float32)
    labels[:20, 0] = 1
    labels[:1, 1] = 1
    np.testing.assert_allclose(positive_weights(labels, 10), [4, 10, 1])


def test_an_unknown_kind_is_refused():
    with pytest.raises(ConfigError, match=r"training.loss.kind: 'dice' is not one of bce, focal, asymmetric"):
        create_loss(LossSettings("dice"), LABELS)
