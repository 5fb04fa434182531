"""What training costs, measured and extrapolated."""

import pytest
import torch

from hounsfield.errors import ConfigError
from hounsfield.planning.cost import Cost, Costs, measure_training, power_law
from hounsfield.planning.grids import Grid

VIT = {"architecture": "vit3d", "variant": "tiny", "options": {"patch_size": 8, "num_layers": 2}, "weights": "no.pth"}
SMALL = Grid((5.0, 5.0, 5.0), (16, 16, 16))
LARGE = Grid((2.0, 2.0, 2.0), (48, 48, 48))


def test_between_and_beyond_the_measured_sizes_costs_follow_a_power_law():
    points = {1000: Cost(1.0, 10.0, 5.0), 4000: Cost(8.0, 40.0, 5.0)}
    assert power_law(points, 4000) == points[4000]
    assert power_law(points, 2000).seconds == pytest.approx(2**1.5)
    assert power_law(points, 16_000).seconds == pytest.approx(64)
    assert power_law(points, 16_000).bytes == pytest.approx(160)


def test_beyond_the_largest_size_costs_grow_at_least_with_the_voxels():
    # A small volume is dear for its size, as starting each operation takes time.
    points = {1000: Cost(1.0, 10.0, 5.0), 4000: Cost(1.1, 10.0, 5.0)}
    assert power_law(points, 8000).seconds == pytest.approx(2.2)
    assert power_law({1000: Cost(1.0, 10.0, 5.0)}, 3000).bytes == pytest.approx(30)


def test_probes_are_measured_once_and_a_full_gpu_is_no_error():
    calls = []

    def measure(name, grid, batch, recompute):
        calls.append((name, grid, recompute))
        if grid is LARGE:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return Cost(1.0, 1e6, 0.0)

    costs = Costs(measure, (SMALL,))
    for _ in range(2):
        assert costs.of("vit", SMALL, False).seconds == 1
    assert calls == [("vit", SMALL, False)]
    assert costs.refine("vit", LARGE, 4, False) and not costs.refine("vit", LARGE, 4, False)
    assert costs.of("vit", LARGE, False).bytes == float("inf")
    assert costs.of("vit", LARGE, False).seconds == pytest.approx(27)


@pytest.mark.parametrize("busy", [False, True])
def test_the_training_code_itself_is_measured(busy):
    small = measure_training(VIT, {"amp": "off"}, 2, SMALL, 2, 1, busy)
    large = measure_training(VIT, {"amp": "off"}, 2, LARGE, 2, 1, busy)
    assert small.seconds > 0 and large.seconds > 0
    assert large.bytes > 48**3 * 4  # at least the input, as float32
    # The position embedding alone grows with the grid: 16 bytes a parameter, 192 of them a patch.
    assert large.fixed - small.fixed == 16 * 192 * (6**3 - 2**3)


def test_what_training_would_refuse_is_refused():
    with pytest.raises(ConfigError, match="has no variant 'huge'"):
        measure_training(VIT | {"variant": "huge"}, {}, 2, SMALL, 2, 1)
