"""Augmentation: in the units it says, and drawn from (seed, epoch, sample) alone."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kurtosis, skew

from hounsfield.training.augmentation import Draws, _grid, augment, augmented_input, draw
from hounsfield.training.data import to_hu, to_input
from hounsfield.training.settings import AugmentationSettings
from hounsfield.volumes.settings import PreprocessingSettings

SPACING = (4.0, 2.0, 1.0)
WIDE = (-4000.0, 4000.0)


def by_torch(hu, draws):
    """What a GPU runs."""
    return augment(hu, draws, SPACING)


def by_kernel(hu, draws):
    """What the CPU runs: of whole HU, as they are stored, and back from the network's input."""
    stored = hu[:, 0].to(torch.int16)
    x = augmented_input(stored, draws, PreprocessingSettings(SPACING, tuple(hu.shape[2:])), [WIDE])
    return (x + 1) * ((WIDE[1] - WIDE[0]) / 2) + WIDE[0]


both = pytest.mark.parametrize("change", [by_torch, by_kernel])


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


@both
def test_nothing_drawn_changes_nothing(change):
    hu = ball((3, -5, 8), 10)
    torch.testing.assert_close(change(hu, still()), hu, rtol=0, atol=2e-3)


@both
def test_flip_is_left_to_right_only(change):
    hu = ball((10, 6, 20), 10)
    centre, _ = centre_and_volume(change(hu, still(flip=[True])))
    np.testing.assert_allclose(centre, (10, 6, -20), atol=0.6)


@both
def test_translation_is_in_mm(change):
    moved = change(ball((0, 0, 0), 12), still(translation=[[8.0, -6.0, 5.0]]))
    np.testing.assert_allclose(centre_and_volume(moved)[0], (8, -6, 5), atol=0.2)


@both
def test_scale_is_a_factor_of_length(change):
    hu = ball((0, 0, 0), 12)
    scaled = change(hu, still(scale=[1.1]))
    assert centre_and_volume(scaled)[1] / centre_and_volume(hu)[1] == pytest.approx(1.1**3, rel=0.03)


@both
@pytest.mark.parametrize("axis, expected", [(0, (0, 0, 20)), (1, (20, 0, 0)), (2, (0, 20, 0))])
def test_rotation_is_in_degrees_about_each_axis(change, axis, expected):
    """A quarter turn takes a ball on the next axis to the one after, at the same distance in mm."""
    starts = {0: (0, -20, 0), 1: (0, 0, 20), 2: (20, 0, 0)}
    angles = np.zeros((1, 3))
    angles[0, axis] = np.radians(90)
    turned, _ = centre_and_volume(change(ball(starts[axis], 10), still(angles=angles)))
    np.testing.assert_allclose(np.abs(turned), expected, atol=0.5)


@both
def test_what_comes_in_from_outside_is_air(change):
    hu = torch.zeros(1, 1, 20, 40, 80)
    moved = change(hu, still(translation=[[0.0, 0.0, 20.0]]))
    torch.testing.assert_close(moved[..., :19], torch.full_like(moved[..., :19], -1000.0))
    torch.testing.assert_close(moved[..., 21:], torch.zeros_like(moved[..., 21:]), rtol=0, atol=1e-2)


@both
def test_shift_contrast_and_noise_are_in_hu(change):
    hu = ball((0, 0, 0), 15)
    torch.testing.assert_close(change(hu, still(shift=[25.0])), hu + 25, rtol=0, atol=2e-3)
    stretched = change(hu, still(contrast=[1.2]))
    assert float(stretched.max() - stretched.min()) == pytest.approx(2400, rel=1e-5)
    assert float(stretched.mean()) == pytest.approx(float(hu.mean()), rel=1e-4)
    noise = (change(hu, still(noise=[30.0])) - hu).flatten().numpy()
    assert abs(noise.mean()) < 0.5 and noise.std() == pytest.approx(30, rel=0.02)
    assert abs(kurtosis(noise)) < 0.3 and abs(skew(noise)) < 0.05
    for step in (1, 80, 80 * 40):  # to the next voxel along x, y and z
        assert abs(np.corrcoef(noise[step:], noise[:-step])[0, 1]) < 0.02


@both
def test_contrast_is_about_the_mean_of_the_volume_as_stored(change):
    """So that moving half of it out changes nothing about the HU of the rest."""
    hu = ball((0, 0, 0), 15)
    changes = {"contrast": [1.2], "translation": [[0.0, 0.0, 40.0]]}
    moved = change(hu, still(**changes))
    expected = 1.2 * (1000 - float(hu.mean())) + float(hu.mean())
    assert float(moved.max()) == pytest.approx(expected, abs=0.05)


def test_noise_of_other_seeds_is_other_noise():
    """Also of seeds that differ in one bit, low or high: the hashes of their voxels share nothing."""
    hu = torch.zeros(1, 1, 20, 40, 80)
    noises = [by_kernel(hu, still(noise=[30.0], seeds=[seed])).flatten() for seed in (0, 1, 2**31, 2**32, 2**62)]
    assert np.abs(np.corrcoef(np.stack(noises)) - np.eye(5)).max() < 0.02


def test_blur_is_in_mm():
    impulse = torch.full((1, 1, 21, 41, 81), -1000.0)
    impulse[0, 0, 10, 20, 40] = 1000
    blurred = by_torch(impulse, still(blur=[4.0]))
    torch.testing.assert_close(by_kernel(impulse, still(blur=[4.0])), blurred, rtol=0, atol=2e-3)
    weight = (blurred[0, 0] + 1000) / 2000
    for axis, mm in enumerate(SPACING):
        profile = weight.sum(dim=[other for other in range(3) if other != axis]).numpy()
        position = (np.arange(len(profile)) - len(profile) // 2) * mm
        assert np.sqrt((profile * position**2).sum() / profile.sum()) == pytest.approx(4.0, rel=0.05)


@pytest.mark.parametrize("blur", [0.0, 2.0])
def test_depends_on_seed_epoch_and_sample_alone(blur):
    settings = AugmentationSettings(blur=blur)
    samples = np.array([11, 22, 33], np.uint64)
    hu = ball((3, -5, 8), 10).repeat(3, 1, 1, 1, 1)
    together = by_kernel(hu, draw(settings, 1, 2, samples))
    for index in range(3):
        alone = by_kernel(hu[:1], draw(settings, 1, 2, samples[index : index + 1]))
        # A blur's kernel is as wide as the widest of its batch needs.
        torch.testing.assert_close(alone[0], together[index], rtol=0, atol=0.5 if blur else 0)
    for seed, epoch in ((2, 2), (1, 3)):
        assert not torch.allclose(together, by_kernel(hu, draw(settings, seed, epoch, samples)))
    assert not torch.allclose(together[0], together[1])


def test_the_number_of_threads_changes_no_bit():
    hu = ball((3, -5, 8), 10).repeat(2, 1, 1, 1, 1)
    draws = draw(AugmentationSettings(), 0, 0, np.array([11, 22], np.uint64))
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            results.append(by_kernel(hu, draws))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        torch.testing.assert_close(other, results[0], rtol=0, atol=0)


def test_draws_stay_within_the_configured_ranges():
    settings = AugmentationSettings(rotation=5, translation=7, scale=(0.9, 1.1), noise=3, blur=1, shift=4)
    draws = draw(settings, 0, 0, np.arange(500, dtype=np.uint64))
    assert np.abs(np.degrees(draws.angles)).max() <= 5 and np.degrees(draws.angles).std() > 2
    assert np.abs(draws.translation).max() <= 7 and draws.translation.std() > 3
    assert 0.9 <= draws.scale.min() < 0.92 and 1.08 < draws.scale.max() <= 1.1
    assert 0.4 < draws.flip.mean() < 0.6
    assert draws.noise.max() <= 3 and draws.blur.max() <= 1 and np.abs(draws.shift).max() <= 4


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6),
    st.tuples(*[st.integers(2, 24)] * 3),
    st.integers(1, 3),
    st.sampled_from([("int16", None), ("uint8", (-1000.0, 600.0)), ("uint8", (-500.0, 300.0))]),
    st.sampled_from([{}, {"rotation": 60, "translation": 20, "scale": (0.6, 1.6)}]),
)
def test_the_cpu_does_as_torchs_operators_do(seed, shape, count, kind, moving):
    """All but the noise, whose generator is another."""
    off = {"rotation": 0, "translation": 0, "scale": (1, 1), "noise": 0}
    changes = AugmentationSettings(contrast=(0.7, 1.4), shift=50, **off | moving)
    draws = draw(changes, seed, 0, np.arange(count))
    preprocessing, windows = PreprocessingSettings(SPACING, shape, *kind), [(-1000.0, 1000.0), (-150.0, 250.0)]
    hu = np.random.default_rng(seed).normal(-300, 400, (count, *shape)).astype(np.float32)
    stored = torch.from_numpy(preprocessing.encode(hu))
    air = float(to_hu(torch.from_numpy(preprocessing.encode(np.full(1, -1000, np.float32))), preprocessing))
    expected = to_input(augment(to_hu(stored, preprocessing), draws, SPACING, air), windows)
    # The coordinates are float32 on both sides: about 1e-5 voxels apart, at up to 2,000 HU a voxel.
    difference_HU = (augmented_input(stored, draws, preprocessing, windows) - expected).abs() * torch.tensor(
        [(high - low) / 2 for low, high in windows]
    ).view(1, -1, 1, 1, 1)
    assert difference_HU.max() < 0.1


def test_grid_is_torchs():
    theta = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 3, 4)).astype(np.float32))
    expected = torch.nn.functional.affine_grid(theta, [3, 1, 5, 6, 7], align_corners=False)
    torch.testing.assert_close(_grid(theta, torch.Size((5, 6, 7))), expected, atol=1e-6, rtol=0)
