"""A small asymmetric chest: every axis and direction can be told from its corners."""

import numpy as np
import pytest


def make_chest(shape=(12, 14, 16)):
    """int16 HU, (z, y, x), LPS: air, a body, a lung, and three marks that tell up, back and left."""
    random = np.random.default_rng(0)
    hu = np.full(shape, -1000, np.int16)
    hu[1:-1, 2:-2, 2:-2] = 40
    hu[2:-2, 4:-4, 3:6] = -850
    hu[-2, 5, 6] = 900
    hu[3, -3, 6] = 1200
    hu[4, 5, -3] = 1500
    return hu + random.integers(-9, 10, shape, dtype=np.int16)


@pytest.fixture
def chest():
    return make_chest()
