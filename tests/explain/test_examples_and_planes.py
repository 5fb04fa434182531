"""Which scans are shown, and that their pictures have the right side up."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hounsfield.errors import ConfigError
from hounsfield.explain.examples import KINDS, choose_examples
from hounsfield.explain.planes import LABEL, draw_planes, overlay
from hounsfield.explain.settings import ExplainSettings


def predictions(labels, logits, patients=None):
    count = len(labels)
    frame = pd.DataFrame({"volume": [f"v{number:03d}" for number in range(count)]})
    frame["scan"] = frame["volume"]
    frame["patient"] = frame["volume"] if patients is None else patients
    return frame.assign(**{"label x": labels, "logit x": logits})


def test_both_ends_of_both_kinds_are_chosen():
    chosen = choose_examples(predictions([1, 1, 1, 0, 0, 0, np.nan], [3, 1, -3, 2, 0, -2, 9]), ["x"], 1)
    assert list(chosen["volume"]) == ["v000", "v002", "v003", "v005"]
    assert list(chosen["outcome"]) == list(KINDS)
    assert chosen["probability"].iloc[0] == pytest.approx(0.9526, abs=1e-4)


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 1.0, np.nan]), st.floats(-5, 5), st.integers(0, 4)), min_size=1),
    st.integers(0, 4),
)
def test_choices_are_distinct_known_and_of_one_patient_each(rows, count):
    labels, logits, patients = map(list, zip(*rows, strict=True))
    table = predictions(labels, logits, [f"p{patient}" for patient in patients])
    chosen = choose_examples(table, ["x"], count)
    assert not chosen["volume"].duplicated().any()
    assert chosen["label"].isin([0, 1]).all()
    joined = chosen.merge(table[["volume", "patient"]], on="volume")
    assert not joined.duplicated(["outcome", "patient"]).any()
    assert (chosen["outcome"].value_counts() <= count).all()
    if count and 1.0 in labels:
        assert (chosen["outcome"] == "with the finding, highest score").any()


@given(st.permutations(range(6)))
def test_the_order_of_the_table_does_not_matter(order):
    table = predictions([1, 1, 1, 0, 0, 0], [1, 1, 0, 0, 1, 1])
    pd.testing.assert_frame_equal(choose_examples(table, ["x"], 2), choose_examples(table.iloc[list(order)], ["x"], 2))


def test_planes_have_the_right_side_up(tmp_path):
    """Of the bright corner at superior, anterior, right: up in all planes, left in axial, coronal and sagittal."""
    hu = np.full((20, 20, 20), -1000, np.int16)
    hu[14:, :6, :6] = 400
    heat = np.zeros(hu.shape, np.float32)
    heat[16, 3, 3] = 1
    draw_planes(hu, heat, (2, 2, 2), (-1000, 400), tmp_path / "picture.png")
    pixels = np.asarray(Image.open(tmp_path / "picture.png").convert("L"), float)
    size = 162
    for left in (6, 6 + size + 6, 6 + 2 * (size + 6)):
        plane = pixels[LABEL : LABEL + size, left : left + size]
        assert plane[10:40, 10:40].mean() > 240
        assert plane[60:, :].mean() < 20 and plane[:, 60:].mean() < 20
    assert pixels.shape == (LABEL + 2 * 168, 3 * size + 4 * 6)


def test_proportions_are_those_of_the_body(tmp_path):
    """10 slices of 6 mm are as high as 60 mm are wide."""
    hu = np.full((10, 40, 30), 400, np.int16)
    draw_planes(hu, np.zeros(hu.shape), (6, 1, 2), (-1000, 400), tmp_path / "picture.png")
    pixels = np.asarray(Image.open(tmp_path / "picture.png").convert("L"))
    # Tallest are the coronal and sagittal plane, 60 mm in 162 pixels; axial: 40 mm by 60; sagittal: 60 by 40.
    assert pixels.shape[1] == 162 + 162 + 108 + 4 * 6
    assert (pixels[LABEL:176, 6 + 80] > 250).sum() == 108


@given(st.floats(0, 1))
def test_without_heat_the_scan_shows_as_it_is(grey):
    np.testing.assert_allclose(overlay(np.full((2, 2), grey), np.zeros((2, 2))), grey)
    assert np.ptp(overlay(np.full((1, 1), grey), np.full((1, 1), 0.9))) > 0.05


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"exmples": 1}, "did you mean 'examples'"),
        ({"saliency": "magic"}, "'magic' is not one of auto"),
        ({"examples": -1}, "0 or more"),
        ({"window": [400, -1000]}, "lower one first"),
    ],
)
def test_impossible_settings_are_refused(block, message):
    with pytest.raises(ConfigError, match=message):
        ExplainSettings.from_config(block)
