"""HU once, from where they can be trusted."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hounsfield.volumes import read_volume
from hounsfield.volumes.hu import apply_rescale, choose_hu
from hounsfield.volumes.volume import VolumeError

PLAIN = (1.0, 0.0)


def choose(raw, header=PLAIN, policy="auto", table=None):
    return choose_hu(raw, header, policy, table, "scan")


@pytest.mark.parametrize("intercept", [-1024, -8192])
def test_stored_values_take_the_tables_rescale(chest, intercept):
    """CT-RATE's first release: raw values, and HU in the table."""
    hu, source = choose((chest.astype(np.int32) - intercept).astype(np.int16), table=(1.0, float(intercept)))
    np.testing.assert_array_equal(hu, chest)
    assert source == "table"


@pytest.mark.parametrize("intercept", [-1024, -8192])
def test_hu_are_not_converted_twice(chest, intercept):
    """CT-RATE's second release: HU already, and a table that still says otherwise."""
    hu, source = choose(chest, table=(1.0, float(intercept)))
    np.testing.assert_array_equal(hu, chest)
    assert source == "header"
    with pytest.raises(VolumeError) as error:
        choose(chest, policy="table", table=(1.0, float(intercept)))
    assert error.value.reason == "not_hu"


def test_two_possible_answers_are_refused_with_the_evidence(chest):
    with pytest.raises(VolumeError) as error:
        choose(chest, table=(1.0, -60.0))
    assert error.value.reason == "ambiguous_hu"
    assert "header (slope 1, intercept 0)" in error.value.detail and "cohort.hu" in error.value.detail
    assert choose(chest, policy="header", table=(1.0, -60.0))[1] == "header"


def test_a_table_that_agrees_is_no_question(chest):
    np.testing.assert_array_equal(choose(chest, table=PLAIN)[0], chest)


def test_the_policy_table_needs_a_table(chest):
    with pytest.raises(VolumeError) as error:
        choose(chest, policy="table")
    assert error.value.reason == "no_rescale"


def test_whole_hu_are_int16_and_others_float32(chest):
    assert choose(chest.astype(np.float64))[0].dtype == np.int16
    fraction = choose(chest.astype(np.float64) + 0.25)[0]
    assert fraction.dtype == np.float32
    np.testing.assert_allclose(fraction, chest + 0.25)


def test_soft_tissue_without_air_is_still_ct(chest):
    random = np.random.default_rng(1)
    crop = random.normal(-300, 250, (8, 30, 30)).clip(-990, 400).astype(np.int16)
    np.testing.assert_array_equal(choose(crop)[0], crop)


@pytest.mark.parametrize("spread", [0, 5])
@pytest.mark.parametrize("policy", ["auto", "table"])
def test_twice_converted_hu_are_refused_even_without_noise(spread, policy):
    """Air of one value, converted twice, looks like padding at -2024."""
    random = np.random.default_rng(0)
    body = np.full((20, 40, 40), -1000)
    body[:, 8:32, 5:35] = -90
    body[:, 10:30, 8:32] = 40
    body[:, 12:28, 10:18] = -850
    body[:, 25:29, 19:23] = 900
    body += random.integers(-spread, spread + 1, body.shape)
    with pytest.raises(VolumeError) as error:
        choose(body - 1024, policy="header")
    assert error.value.reason == "not_hu"
    if policy == "auto":
        assert choose(body, table=(1.0, -1024.0))[1] == "header"
    else:
        with pytest.raises(VolumeError):
            choose(body, policy=policy, table=(1.0, -1024.0))


def test_padding_blurred_by_lossy_compression_is_air(chest):
    padded = np.concatenate([chest, np.full((3, *chest.shape[1:]), -3024, np.int16)])
    padded[-3:] += np.random.default_rng(0).integers(-9, 10, padded[-3:].shape, dtype=np.int16)
    hu, _ = choose(padded)
    np.testing.assert_array_equal(hu[:-3], chest)
    assert (hu[-3:] == -1000).all()


def test_values_cut_at_a_soft_tissue_window_are_refused(chest):
    with pytest.raises(VolumeError) as error:
        choose(chest.clip(-160, 240))
    assert error.value.reason == "windowed"


@given(
    dtype=st.sampled_from([np.uint8, np.int8, np.uint16, np.int16, np.int32, np.uint32, np.int64]),
    slope=st.sampled_from([1, 2, -1, 3]),
    intercept=st.integers(-9000, 9000),
    seed=st.integers(0, 1000),
)
def test_whole_rescales_are_exact_in_every_type(dtype, slope, intercept, seed):
    limits = np.iinfo(dtype)
    low, high = max(limits.min, -3000), min(limits.max, 9000)
    raw = np.random.default_rng(seed).integers(low, high, (3, 4, 5)).astype(dtype)
    exact = raw.astype(np.int64) * slope + intercept
    hu = apply_rescale(raw, (float(slope), float(intercept)))
    assert hu.dtype == np.int16
    np.testing.assert_array_equal(hu, np.where(exact <= -1500, -1000, exact.clip(max=32767)))


DATA = Path(__file__).parents[2].parent / "shared/data"


@pytest.mark.skipif(not (DATA / "lidc").is_dir(), reason="real CT (shared/data/lidc) is not here")
def test_real_crops_without_air_are_hu_and_their_stored_values_are_not():
    for path in sorted((DATA / "lidc/volumes").glob("*.nii.gz"))[::8]:
        hu = read_volume(path).hu
        assert hu.dtype == np.int16
        assert choose(hu, table=(1.0, -1024.0))[1] == "header", path
        raw, source = choose(hu + 8192, table=(1.0, -8192.0))
        assert source == "table"
        np.testing.assert_array_equal(raw, hu)
        for wrong in (hu - 1024, hu + 8192, np.maximum(hu + 1024, 0)):
            with pytest.raises(VolumeError):
                choose(wrong)
