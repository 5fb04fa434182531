"""Augmentation: in the units it says, and drawn from (seed, epoch, sample) alone."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kurtosis, skew

from hounsfield.training.augmentation import Draws, _sample_grid, _transform, augment, draw, matrices
from hounsfield.training.settings import AugmentationSettings

SPACING = (4.0, 2.0, 1.0)


def still(n=1, **changes):
    """Draws that change nothing but what is given."""
    values = {
        "flip": np.zeros(n, bool),
        "angles": np.zeros((n, 3)),
        "scale": np.ones(n),
        "translation": np.zeros((n, 3)),
        "noise": np.zeros(n),
        "blur": np.zeros(n),
        "contrast": np.ones(n),
        "shift": np.zeros(n),
        "seeds": list(range(n)),
    }
    return Draws(**values | {name: np.asarray(value) for name, value in changes.items()})


def ball(centre_mm, radius_mm, shape=(20, 40, 80)):
    """A bright ball in air; centre in mm from the middle of the volume, (z, y, x)."""
    axes = [(np.arange(n) - (n - 1) / 2) * mm for n, mm in zip(shape, SPACING, strict=True)]
    grid = np.meshgrid(*axes, indexing="ij")
    distance = np.sqrt(sum((g - c) ** 2 for g, c in zip(grid, centre_mm, strict=True)))
    return torch.from_numpy(np.where(distance <= radius_mm, 1000.0, -1000.0).astype(np.float32))[None, None]


def centre_and_volume(hu):
    """Centre of mass in mm from the middle, and volume in mm^3, of what is not air."""
    weight = (hu[0, 0].numpy() + 1000) / 2000
    axes = [(np.arange(n) - (n - 1) / 2) * mm for n, mm in zip(weight.shape, SPACING, strict=True)]
    grid = np.meshgrid(*axes, indexing="ij")
    centre = [float((g * weight).sum() / weight.sum()) for g in grid]
    return np.array(centre), weight.sum() * np.prod(SPACING)


def test_nothing_drawn_changes_nothing():
    hu = ball((3, -5, 8), 10)
    torch.testing.assert_close(augment(hu, still(), SPACING), hu)


def test_flip_is_left_to_right_only():
    hu = ball((10, 6, 20), 10)
    centre, _ = centre_and_volume(augment(hu, still(flip=[True]), SPACING))
    np.testing.assert_allclose(centre, (10, 6, -20), atol=0.6)


def test_translation_is_in_mm():
    moved = augment(ball((0, 0, 0), 12), still(translation=[[8.0, -6.0, 5.0]]), SPACING)
    np.testing.assert_allclose(centre_and_volume(moved)[0], (8, -6, 5), atol=0.2)


def test_scale_is_a_factor_of_length():
    hu = ball((0, 0, 0), 12)
    scaled = augment(hu, still(scale=[1.1]), SPACING)
    assert centre_and_volume(scaled)[1] / centre_and_volume(hu)[1] == pytest.approx(1.1**3, rel=0.03)


@pytest.mark.parametrize("axis, expected", [(0, (0, 0, 20)), (1, (20, 0, 0)), (2, (0, 20, 0))])
def test_rotation_is_in_degrees_about_each_axis(axis, expected):
    """A quarter turn takes a ball on the next axis to the one after, at the same distance in mm."""
    starts = {0: (0, -20, 0), 1: (0, 0, 20), 2: (20, 0, 0)}
    angles = np.zeros((1, 3))
    angles[0, axis] = np.radians(90)
    turned, _ = centre_and_volume(augment(ball(starts[axis], 10), still(angles=angles), SPACING))
    np.testing.assert_allclose(np.abs(turned), expected, atol=0.5)


def test_what_comes_in_from_outside_is_air():
    hu = torch.zeros(1, 1, 20, 40, 80)
    moved = augment(hu, still(translation=[[0.0, 0.0, 20.0]]), SPACING)
    torch.testing.assert_close(moved[..., :19], torch.full_like(moved[..., :19], -1000.0))
    torch.testing.assert_close(moved[..., 21:], torch.zeros_like(moved[..., 21:]), rtol=0, atol=1e-2)


def test_shift_contrast_noise_and_blur_are_in_hu_and_mm():
    hu = ball((0, 0, 0), 15)
    torch.testing.assert_close(augment(hu, still(shift=[25.0]), SPACING), hu + 25)
    stretched = augment(hu, still(contrast=[1.2]), SPACING)
    assert float(stretched.max() - stretched.min()) == pytest.approx(2400, rel=1e-5)
    assert float(stretched.mean()) == pytest.approx(float(hu.mean()), rel=1e-4)
    noise = (augment(hu, still(noise=[30.0]), SPACING) - hu).flatten().numpy()
    assert abs(noise.mean()) < 0.5 and noise.std() == pytest.approx(30, rel=0.02)
    assert abs(kurtosis(noise)) < 0.3 and abs(skew(noise)) < 0.05
    for step in (1, 80, 80 * 40):  # to the next voxel along x, y and z
        assert abs(np.corrcoef(noise[step:], noise[:-step])[0, 1]) < 0.02
    impulse = torch.full((1, 1, 21, 41, 81), -1000.0)
    impulse[0, 0, 10, 20, 40] = 1000
    weight = (augment(impulse, still(blur=[4.0]), SPACING)[0, 0] + 1000) / 2000
    for axis, mm in enumerate(SPACING):
        profile = weight.sum(dim=[other for other in range(3) if other != axis]).numpy()
        position = (np.arange(len(profile)) - len(profile) // 2) * mm
        assert np.sqrt((profile * position**2).sum() / profile.sum()) == pytest.approx(4.0, rel=0.05)


def test_depends_on_seed_epoch_and_sample_alone():
    settings = AugmentationSettings(blur=2.0)
    samples = np.array([11, 22, 33], np.uint64)
    hu = ball((3, -5, 8), 10).repeat(3, 1, 1, 1, 1)
    together = augment(hu, draw(settings, 1, 2, samples), SPACING)
    for index in range(3):
        alone = augment(hu[:1], draw(settings, 1, 2, samples[index : index + 1]), SPACING)
        torch.testing.assert_close(alone[0], together[index], rtol=1e-4, atol=0.5)
    for seed, epoch in ((2, 2), (1, 3)):
        assert not torch.allclose(together, augment(hu, draw(settings, seed, epoch, samples), SPACING))
    assert not torch.allclose(together[0], together[1])


def test_draws_stay_within_the_configured_ranges():
    settings = AugmentationSettings(rotation=5, translation=7, scale=(0.9, 1.1), noise=3, blur=1, shift=4)
    draws = draw(settings, 0, 0, np.arange(500, dtype=np.uint64))
    assert np.abs(np.degrees(draws.angles)).max() <= 5 and np.degrees(draws.angles).std() > 2
    assert np.abs(draws.translation).max() <= 7 and draws.translation.std() > 3
    assert 0.9 <= draws.scale.min() < 0.92 and 1.08 < draws.scale.max() <= 1.1
    assert 0.4 < draws.flip.mean() < 0.6
    assert draws.noise.max() <= 3 and draws.blur.max() <= 1 and np.abs(draws.shift).max() <= 4


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.tuples(*[st.integers(2, 24)] * 3), st.integers(1, 3))
def test_the_cpu_samples_as_torchs_grid_does(seed, shape, count):
    random = np.random.default_rng(seed)
    hu = torch.from_numpy(random.normal(-300, 400, (count, 1, *shape)).astype(np.float32))
    draws = draw(AugmentationSettings(rotation=60, translation=20, scale=(0.6, 1.6)), seed, 0, np.arange(count))
    inverse = np.linalg.inv(matrices(draws))
    offset = -inverse @ draws.translation[:, :, None]
    expected = _sample_grid(hu, inverse, offset, SPACING)
    moved = _transform(hu, draws, SPACING)
    # The coordinates are float32 on both sides: about 1e-5 voxels apart, at up to 2,000 HU a voxel.
    np.testing.assert_allclose(moved, expected, atol=0.1)
