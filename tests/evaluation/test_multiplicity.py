"""Corrected p values against what is known of independent and of equal tests."""

import numpy as np
import pytest

from hounsfield.evaluation.multiplicity import DRAWS, adjusted


def test_of_independent_tests_it_is_sidaks_step_down():
    p = np.array([0.2, 0.004, 0.03])
    # A hundred patients each, so that no two tests share one.
    found = adjusted(p, np.kron(np.eye(3), np.tile([1.0, -1.0], 50)[:, None]))
    expected = [0.2, 1 - (1 - 0.004) ** 3, 1 - (1 - 0.03) ** 2]
    assert found == pytest.approx(expected, abs=4 * np.sqrt(0.06 / DRAWS))


def test_tests_that_always_agree_cost_nothing():
    same = np.random.default_rng(0).normal(size=(50, 1)).repeat(4, axis=1)
    assert adjusted(np.array([0.01, 0.02, 0.03, 0.5]), same) == pytest.approx([0.01, 0.02, 0.03, 0.5], abs=0.01)


def test_keeps_the_order_and_leaves_out_what_is_undefined():
    random = np.random.default_rng(1)
    p = random.random(6)
    p[2] = np.nan
    deviations = random.normal(size=(40, 6))
    deviations[:, 2] = np.nan
    found = adjusted(p, deviations)
    assert np.isnan(found[2])
    kept = np.delete(np.arange(6), 2)
    assert found[kept] == pytest.approx(adjusted(p[kept], deviations[:, kept]))
    order = kept[np.argsort(p[kept])]
    assert np.all(np.diff(found[order]) >= 0) and np.all(found[kept] >= p[kept])
    assert np.isnan(adjusted(np.full(2, np.nan), np.zeros((3, 2)))).all()
