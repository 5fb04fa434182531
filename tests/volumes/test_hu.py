"""HU once, from where they can be trusted."""

import numpy as np
import pytest

from hounsfield.volumes.hu import choose_hu
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
