"""The learning rate by step, and when training stops."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hounsfield.training.early_stopping import EarlyStopping
from hounsfield.training.optimization import learning_rate


def test_warms_up_to_the_peak_and_falls_to_the_floor():
    rates = [learning_rate(step, 100, 10, 0.5) for step in range(101)]
    assert rates[0] == pytest.approx(0.05) and rates[9] == rates[10] == pytest.approx(0.5)
    assert rates[55] == pytest.approx(0.5 * (0.01 + 0.99 / 2))
    assert rates[100] == pytest.approx(0.005)
    assert all(later <= earlier for earlier, later in itertools.pairwise(rates[10:]))


@given(st.integers(0, 500), st.integers(1, 400), st.integers(0, 50))
def test_stays_positive_and_below_the_peak(step, total, warmup):
    assert 0 < learning_rate(step, total, warmup, 0.1) <= 0.1


def test_stops_after_patience_without_improvement():
    stopping = EarlyStopping(patience=2)
    assert [stopping.update(value, epoch) for epoch, value in enumerate([0.6, 0.7, 0.65])] == [True, True, False]
    assert not stopping.should_stop
    assert not stopping.update(0.7, 3)
    assert stopping.should_stop and stopping.best == 0.7 and stopping.best_epoch == 1


def test_a_lower_loss_is_better_and_a_small_gain_is_none():
    stopping = EarlyStopping(patience=1, lower_is_better=True, min_delta=0.1)
    assert stopping.update(1.0, 0) and not stopping.update(0.95, 1) and stopping.update(0.8, 2)


def test_an_undefined_value_is_no_improvement_and_no_end():
    stopping = EarlyStopping(patience=3)
    stopping.update(math.nan, 0)
    assert stopping.best is None
    assert stopping.update(0.5, 1) and stopping.epochs_without == 0


def test_progress_survives_a_checkpoint_under_the_new_patience():
    before = EarlyStopping(patience=2)
    for epoch, value in enumerate([0.6, 0.5]):
        before.update(value, epoch)
    after = EarlyStopping(patience=5)
    after.load_state_dict(before.state_dict())
    assert (after.best, after.best_epoch, after.epochs_without, after.patience) == (0.6, 0, 1, 5)
