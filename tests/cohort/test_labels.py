"""Labels are 1, 0 or unknown; nothing else is taken for one of them."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hounsfield.cohort.labels import LabelMapping, parse_labels, read_mapping
from hounsfield.cohort.settings import CohortSettings
from hounsfield.errors import ConfigError, TableError


def settings(pathologies=("nodule",), **changes):
    block = {"volumes": "v", "labels": ["labels.csv"], "pathologies": list(pathologies)}
    return CohortSettings.from_config(block | changes)


def parse(values, **changes):
    table = pd.DataFrame({"volume": [f"v{index}" for index in range(len(values))], "nodule": values}, dtype=object)
    return parse_labels(table, settings(**changes))["nodule"].tolist()


def test_zero_one_and_unknown():
    values = parse(["0", "1", "1.0", " 0.0 ", "", "-1", "-1.0"])
    np.testing.assert_array_equal(values, [0, 1, 1, 0, np.nan, np.nan, np.nan])


@pytest.mark.parametrize("meaning, number", [("mask", np.nan), (0, 0.0), (1, 1.0)])
def test_uncertain_values_mean_what_the_config_says(meaning, number):
    np.testing.assert_array_equal(parse(["U", "1"], uncertain={"u": meaning}), [number, 1.0])


@pytest.mark.parametrize("value", ["2", "0.5", "yes", "nan", "inf", "1,0", "-2"])
def test_an_unknown_value_is_an_error_that_names_volume_and_column(value):
    with pytest.raises(TableError) as caught:
        parse(["1", value, value])
    for part in ("v1 (and 1 more)", "nodule", repr(value), "cohort.uncertain"):
        assert part in str(caught.value)


def test_uncertain_may_be_an_error_and_replaces_the_default():
    with pytest.raises(TableError):
        parse(["-1"], uncertain={"-1": "error", "": "mask"})
    with pytest.raises(TableError):
        parse([""], uncertain={"-1": "mask"})


@given(st.lists(st.text(max_size=4), min_size=1))
def test_whatever_the_text_a_label_is_0_1_or_unknown(values):
    try:
        parsed = parse(values)
    except TableError:
        return
    assert all(value in (0.0, 1.0) or np.isnan(value) for value in parsed)


MAPPING = LabelMapping("m", 1, {"Lung nodule": ("nodule",), "Calcium": ("calc", "stone"), "Mosaic": ()}, "*")


def mapped(columns, pathology, **changes):
    table = pd.DataFrame({"volume": ["v0"], **{name: [value] for name, value in columns.items()}}, dtype=object)
    return parse_labels(table, settings([pathology], **changes), MAPPING)[pathology].item()


def test_or_over_locations_of_exactly_the_named_abnormality():
    assert mapped({"nodule*left": "0", "nodule*right": "1"}, "Lung nodule") == 1
    assert mapped({"nodule*left": "0", "nodulegr1cm*left": "1", "micro_nodule*left": "1"}, "Lung nodule") == 0
    assert mapped({"calc*heart": "0", "stone*kidney": "1"}, "Calcium") == 1


def test_unknown_counts_only_without_a_positive():
    assert np.isnan(mapped({"nodule*left": "-1", "nodule*right": "0"}, "Lung nodule"))
    assert mapped({"nodule*left": "-1", "nodule*right": "1"}, "Lung nodule") == 1


def test_a_pathology_without_partner_is_unknown():
    assert np.isnan(mapped({"nodule*left": "1"}, "Mosaic"))


def test_mapping_refuses_what_it_cannot_answer():
    with pytest.raises(TableError, match="'stone'"):
        mapped({"calc*heart": "1"}, "Calcium")
    with pytest.raises(TableError, match="v0: nodule\\*left is '7'"):
        mapped({"nodule*left": "7"}, "Lung nodule")
    with pytest.raises(ConfigError, match="did you mean 'Lung nodule'"):
        mapped({"nodule*left": "1"}, "Lung nodules")


@pytest.mark.parametrize(
    "text", ["", "name: x", "name: [", "{name: x, version: 1, labels: {a: b}}", "{labels: {}, x: 1}"]
)
def test_a_mapping_file_that_is_none_is_refused(tmp_path, text):
    path = tmp_path / "m.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"label_mapping.*m\.yaml"):
        read_mapping(str(path))
