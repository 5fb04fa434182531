"""The grids to choose from."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hounsfield.planning.grids import Grid, field_of_view, ladder, side_multiple

LENGTHS = st.tuples(*[st.floats(20, 600)] * 3).map(np.array)
SPACINGS = st.tuples(*[st.floats(0.5, 6)] * 3).map(np.array)
MULTIPLES = st.tuples(*[st.sampled_from([8, 16, 48])] * 3)


@given(LENGTHS, SPACINGS, MULTIPLES)
def test_every_grid_holds_the_view_and_is_coarser_than_the_one_before(view, finest, multiple):
    grids = ladder(view, finest, multiple)
    for grid in grids:
        assert all(n % side == 0 for n, side in zip(grid.shape, multiple, strict=True))
        assert (np.array(grid.shape) * grid.spacing >= view - 1e-6).all()
        assert (np.array(grid.spacing) >= finest - 1e-9).all()
    voxels = [grid.voxels for grid in grids]
    assert voxels == sorted(voxels, reverse=True) and len(set(voxels)) == len(voxels)
    assert max(grids[-1].shape) <= max(64, *multiple)


def test_the_first_grid_loses_nothing_of_the_scans():
    grid = ladder(np.array([320.0, 300, 300]), np.array([2.5, 0.75, 0.75]), (8, 8, 8))[0]
    assert grid == Grid((2.5, 0.75, 0.75), (128, 400, 400))


def test_the_finer_axes_become_coarser_first():
    grids = ladder(np.array([320.0, 320, 320]), np.array([5.0, 0.5, 0.5]), (8, 8, 8))
    thick = [grid for grid in grids if grid.spacing[1] < 2.4]
    assert {grid.shape[0] for grid in thick} == {64}
    assert grids[-1].shape[1:] == (64, 64)


def test_small_regions_have_one_grid():
    assert len(ladder(np.array([30.0, 40, 40]), np.array([1.25, 0.7, 0.7]), (8, 8, 8))) == 1


def test_the_view_is_of_bodies_with_a_margin_and_within_the_scans():
    needed, extents = np.full((20, 3), [300.0, 250, 320]), np.full((20, 3), [305.0, 400, 400])
    np.testing.assert_allclose(field_of_view(needed, extents), [305, 260, 330])
    needed[0] = 1000  # one odd body in twenty does not make the view
    assert field_of_view(needed, extents * 10)[1] < 400


def test_transformers_bring_their_patches():
    vit = {"architecture": "vit3d", "variant": "tiny"}
    assert side_multiple([{"architecture": "resnet3d", "variant": "10"}]) == (8, 8, 8)
    assert side_multiple([vit]) == (16, 16, 16)
    assert side_multiple([vit, vit | {"options": {"patch_size": [8, 24, 24]}}]) == (16, 48, 48)
