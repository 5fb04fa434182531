"""Splits keep patients whole, follow the labels, and stay where they are."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hounsfield.cohort.dataset import splits_of_fold
from hounsfield.cohort.settings import SPLITS, SplitSettings
from hounsfield.cohort.splits import given_splits, split_patients
from hounsfield.errors import ConfigError, TableError


def cohort(count, seed=0, start=0):
    random = np.random.default_rng(seed)
    chances = np.array([0.5, 0.2, 0.05])
    labels = (random.random((start + count, 3)) < chances).astype(float)
    labels[random.random(labels.shape) < 0.1] = np.nan
    return pd.DataFrame(labels, index=[f"p{number}" for number in range(start + count)], columns=list("abc"))


def split(patients, folder, seed=0, choices=SPLITS, **block):
    given = pd.Series([choices] * len(patients), index=patients.index)
    return split_patients(patients, given, SplitSettings.from_config(block), seed, folder / "splits.tsv")


def test_shares_and_labels_are_kept(tmp_path):
    patients = cohort(600)
    parts = split(patients, tmp_path)
    for name, share in (("train", 0.7), ("val", 0.1), ("test", 0.2)):
        part = patients[parts == name]
        assert len(part) == pytest.approx(share * 600, abs=12)
        for label in patients:
            wanted = (patients[label] == 1).sum() * share
            assert (part[label] == 1).sum() == pytest.approx(wanted, abs=2 + 0.03 * wanted)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 60), st.integers(0, 5), st.sampled_from([None, 2, 5]))
def test_reproducible_whatever_the_order(tmp_path_factory, count, seed, folds):
    patients = cohort(count, seed)
    first = split(patients, tmp_path_factory.mktemp("a"), seed, folds=folds)
    other = split(patients.iloc[::-1], tmp_path_factory.mktemp("b"), seed, folds=folds)
    assert set(first) <= {*SPLITS, *map(str, range(folds or 0))}
    assert first.equals(other[first.index])


def test_another_seed_makes_other_splits(tmp_path):
    patients = cohort(100)
    first, second = split(patients, tmp_path, 0), split(patients, tmp_path, 1)
    assert not first.equals(second)
    assert split(patients, tmp_path, 0).equals(first)


@pytest.mark.parametrize("folds", [None, 4])
@pytest.mark.parametrize("added", [1, 7, 200])
def test_patients_that_are_added_move_nobody(tmp_path, added, folds):
    before = split(cohort(100), tmp_path, folds=folds)
    grown = cohort(added, seed=3, start=100)
    after = split(grown, tmp_path, folds=folds)
    assert after[before.index].equals(before)
    if added == 200:
        assert (after.drop(before.index) == "test").mean() == pytest.approx(0.2, abs=0.03)


def test_a_patient_who_comes_back_was_not_forgotten(tmp_path):
    patients = cohort(60)
    before = split(patients, tmp_path)
    split(patients.iloc[:20], tmp_path)
    changed = 1 - patients
    assert split(changed, tmp_path).equals(before)


@pytest.mark.parametrize("rule, part", [("train", "0"), ("train", "Test"), ("folds", "4"), ("folds", "val")])
def test_a_remembered_part_is_one_that_its_rule_could_make(tmp_path, rule, part):
    patients, memory = cohort(60), tmp_path / "splits.tsv"
    split(patients, tmp_path, folds=4)
    lines = memory.read_text().splitlines()
    place = next(number for number, line in enumerate(lines) if rule in line)
    start = lines[place].rsplit("\t", 1)[0]
    memory.write_text("\n".join([*lines[:place], f"{start}\t{part}", *lines[place + 1 :], ""]))
    with pytest.raises(TableError, match=f"line {place + 1}: '{part}' is no split; write one of"):
        split(patients, tmp_path, folds=4)


def test_who_is_divided_anew_is_told(tmp_path, caplog):
    patients = cohort(60)
    before = split(patients, tmp_path)
    assert caplog.text == ""
    split(patients, tmp_path, fractions={"train": 0.5, "val": 0.5})
    assert "remembers no splits of seed 0: train 0.5, val 0.5" in caplog.text
    caplog.clear()
    split(patients, tmp_path, choices=("train", "val"))
    assert f"{(before == 'test').sum()} patients, such as" in caplog.text
    assert "were in test and are now divided among train and val" in caplog.text


def test_words_and_numbers_of_split_values_are_what_was_written():
    block = SplitSettings.from_config({"column": "s", "values": {True: "test", False: "train", 2: "val"}})
    values = pd.Series(["yes", "no", "2"], index=["p0", "p1", "p2"])
    assert given_splits(values, block).tolist() == ["test", "train", "val"]


def test_folds_are_disjoint_and_leave_the_test_split_alone(tmp_path):
    patients = cohort(300)
    parts = split(patients, tmp_path, folds=5)
    made = [splits_of_fold(parts, fold) for fold in range(5)]
    plain = split(patients, tmp_path / "plain")
    for parts in made:
        assert ((parts == "test") == (plain == "test")).all()
    held_out = pd.DataFrame([parts == "val" for parts in made]).sum()
    assert (held_out[plain != "test"] == 1).all()
    assert (held_out[plain == "test"] == 0).all()
    sizes = [(parts == "val").sum() for parts in made]
    assert max(sizes) - min(sizes) <= 6


def test_folds_of_runs_apart_agree_through_one_file(tmp_path):
    small, large = cohort(100), cohort(60, start=100)
    first, second = split(small, tmp_path, folds=4), split(large, tmp_path, folds=4)
    assert first.equals(second[first.index])


def test_given_splits_stay_and_lists_are_divided(tmp_path):
    patients = cohort(200)
    values = pd.Series(["valid"] * 50 + ["train"] * 150, index=patients.index)
    block = SplitSettings.from_config({"column": "s", "values": {"train": ["train", "val"], "valid": "test"}})
    parts = split_patients(patients, given_splits(values, block), block, 0, tmp_path / "splits.tsv")
    assert ((parts == "test") == (values == "valid")).all()
    assert (parts == "val").sum() == pytest.approx(150 / 8, abs=4)


def test_an_unknown_value_of_the_split_column(tmp_path):
    block = SplitSettings.from_config({"column": "Split"})
    with pytest.raises(TableError, match=r"patient p1: 'Split' is 'valid', which split\.values"):
        given_splits(pd.Series(["train", "valid"], index=["p0", "p1"]), block)


@pytest.mark.parametrize(
    "block, told",
    [
        ({"fractions": {"train": 0.5, "val": 0.2}}, "sum to 1"),
        ({"fractions": {"train": 1.2, "val": -0.2}}, "sum to 1"),
        ({"fractions": {"training": 1.0}}, "'training' is not one of"),
        ({"values": {"x": "valid"}}, "split.values: 'valid'"),
        ({"require_positives": ["dev"]}, "require_positives"),
        ({"folds": 5, "fold": 5}, "0 to 4"),
        ({"folds": 1}, "split.folds"),
        ({"fold": 1}, "give split.folds"),
        ({"fold_count": 5}, "unknown key"),
    ],
)
def test_settings_that_cannot_be(block, told):
    with pytest.raises(ConfigError) as caught:
        SplitSettings.from_config(block)
    assert told in str(caught.value)
