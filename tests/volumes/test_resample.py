"""One resample, equal to MONAI's chain within the rounding of the stored type."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor
from monai.transforms import Compose, Orientation, ResizeWithPadOrCrop, Spacing

from hounsfield.volumes.geometry import to_lps_zyx
from hounsfield.volumes.resample import is_axis_aligned, resample, resampled_length
from hounsfield.volumes.settings import PreprocessingSettings
from hounsfield.volumes.volume import Volume


def monai_reference(array, affine_ras, spacing, shape):
    """Float64 HU (z, y, x) from an array indexed (i, j, k), by MONAI's own chain."""
    chain = Compose(
        [
            Orientation(axcodes="LPS", labels=None),
            Spacing(spacing[::-1], mode="bilinear", padding_mode="border", align_corners=False, dtype=np.float64),
            ResizeWithPadOrCrop(shape[::-1], constant_values=-1000),
        ]
    )
    image = MetaTensor(torch.from_numpy(array.astype(np.float64))[None], affine=torch.from_numpy(affine_ras))
    return chain(image).numpy()[0].transpose(2, 1, 0)


def make_volume(array, affine_ras):
    hu, affine = to_lps_zyx(array, affine_ras)
    return Volume(hu, tuple(np.linalg.norm(affine[:3, :3], axis=0)), affine)


sizes = st.tuples(*[st.integers(2, 24)] * 3)
lengths = st.tuples(*[st.floats(0.4, 6.0).map(lambda mm: round(mm, 2))] * 3)


@settings(max_examples=60, deadline=None)
@given(
    size=sizes,
    source=lengths,
    target=lengths,
    shape=sizes,
    axes=st.permutations([0, 1, 2]),
    signs=st.tuples(*[st.sampled_from([-1, 1])] * 3),
    seed=st.integers(0, 1000),
)
def test_equals_monai_for_every_orientation(size, source, target, shape, axes, signs, seed):
    random = np.random.default_rng(seed)
    array = random.integers(-1024, 3000, size, dtype=np.int16)
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[:, list(axes)] * (np.array(source) * signs)
    affine[:3, 3] = random.uniform(-300, 300, 3)
    volume = make_volume(array, affine)
    steps = (np.array(volume.hu.shape) - 1) * volume.spacing / target
    assume((np.abs(steps % 1 - 0.5) > 1e-9).all())  # MONAI lets rounding errors decide
    expected = monai_reference(array, affine, target, shape)
    result = resample(volume, PreprocessingSettings(target, shape))
    assert result.dtype == np.int16
    np.testing.assert_allclose(result, expected, atol=0.502)


def test_half_a_voxel_goes_to_the_even_number():
    assert resampled_length(8, 0.7, 1.96) == 4
    for n, length in ((512, 256), (510, 256), (508, 254)):
        for spacing in (0.5, 0.7, 0.976563):
            assert resampled_length(n, spacing, 2 * spacing) == length


@pytest.mark.parametrize(
    "shear", [(0.0, 0.0, 0.0), (0.2, 0.0, 0.0), (-0.15, 0.1, 0.05)], ids=["oblique", "tilted", "both"]
)
def test_oblique_and_sheared_equal_monai(shear):
    random = np.random.default_rng(2)
    array = random.integers(-1024, 1000, (18, 21, 15), dtype=np.int16)
    angle = 0.2
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    skew = np.array([[1, shear[0], shear[1]], [0, 1, shear[2]], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ skew @ np.diag([-0.8, -0.9, 2.0])
    affine[:3, 3] = [10, 20, 30]
    volume = make_volume(array, affine)
    assert not is_axis_aligned(volume)
    target, shape = (1.5, 1.1, 1.3), (24, 20, 16)
    expected = monai_reference(array, affine, target, shape)
    np.testing.assert_allclose(resample(volume, PreprocessingSettings(target, shape)), expected, atol=0.51)


def test_uint8_keeps_a_window():
    array = np.linspace(-1200, 600, 1000).astype(np.int16).reshape(10, 10, 10)
    volume = make_volume(array, np.diag([-1.0, -1.0, 1.0, 1.0]))
    plain = resample(volume, PreprocessingSettings((1, 1, 1), (10, 10, 10)))
    small = resample(volume, PreprocessingSettings((1, 1, 1), (10, 10, 10), "uint8", (-1000.0, 400.0)))
    back = small * (1400 / 255) - 1000
    np.testing.assert_allclose(back, np.clip(plain, -1000, 400), atol=1400 / 255 / 2 + 0.5)


@pytest.mark.parametrize("degrees", [0, 5])
def test_antialiasing_keeps_the_mean_and_takes_out_noise(degrees):
    random = np.random.default_rng(3)
    array = random.normal(40, 100, (60, 60, 60)).astype(np.int16)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    affine[1:3, 1:3] = np.array([[cosine, -sine], [sine, cosine]]) @ affine[1:3, 1:3]
    volume = make_volume(array, affine)
    plain = resample(volume, PreprocessingSettings((4, 4, 4), (15, 15, 15)))
    smooth = resample(volume, PreprocessingSettings((4, 4, 4), (15, 15, 15), antialias=True))
    assert abs(smooth.mean() - 40) < 2
    assert smooth.std() < 0.25 * plain.std()
