"""The gate: a dataset that cannot be trusted is not written."""

import pandas as pd
import pytest

from hounsfield.cohort.checks import check_unseen
from hounsfield.cohort.dataset import build_dataset
from hounsfield.cohort.settings import SPLITS, CohortSettings, SplitSettings
from hounsfield.cohort.splits import split_patients
from hounsfield.errors import TableError

UNMATCHED = pd.DataFrame({"volume": [], "reason": [], "detail": []}, dtype=object)


def parts(count=30):
    rows, stored = [], []
    for index in range(count):
        split = ("train", "val", "test")[index % 3]
        row = {"volume": f"v{index}", "path": "x", "scan": f"s{index // 3}{split}", "patient": f"p{index // 3}{split}"}
        rows.append(
            row | {"split": split, "shard": "00", "nodule": float(index // 3 % 2), "effusion": float(index % 2)}
        )
        stored.append({"volume": f"v{index}", "key": f"k{index}", "digest": f"d{index}", "reason": "", "detail": ""})
    return pd.DataFrame(rows), pd.DataFrame(stored)


def build(manifest, stored, unmatched=UNMATCHED, required=("train", "val", "test"), **changes):
    block = {"volumes": "v", "labels": ["l.csv"], "pathologies": ["nodule", "effusion"]}
    return build_dataset(manifest, stored, unmatched, CohortSettings.from_config(block | changes), required)


def refuse(stored, index, reason="truncated"):
    return stored.assign(
        key=stored["key"].mask(stored.index == index, ""),
        digest=stored["digest"].mask(stored.index == index, ""),
        reason=stored["reason"].mask(stored.index == index, reason),
        detail=stored["detail"].mask(stored.index == index, "ends early"),
    )


def test_columns_and_counts():
    manifest, stored = parts()
    manifest.loc[0, "nodule"] = None
    dataset, excluded, summary = build(manifest, stored)
    assert list(dataset) == ["volume", "scan", "patient", "split", "key", "nodule", "effusion"]
    assert excluded.empty
    row = summary.set_index(["split", "label"]).loc[("train", "nodule")]
    assert row[["patients", "scans", "volumes"]].tolist() == [10, 10, 10]
    assert row[["n_positive", "n_negative", "n_unknown"]].tolist() == [5, 4, 1]
    assert row["prevalence"] == pytest.approx(5 / 9)


def test_refused_volumes_are_named_until_they_are_too_many():
    manifest, stored = parts()
    unmatched = pd.DataFrame(
        [("w", "no_volume", "gone"), ("x", "listed", "a head"), ("v1", "duplicate_rows", "twice")],
        columns=["volume", "reason", "detail"],
    )
    dataset, excluded, _ = build(manifest, refuse(stored, 4), unmatched, max_excluded_fraction=0.07)
    assert excluded["volume"].tolist() == ["v4", "w", "x"]
    assert excluded["reason"].tolist() == ["truncated", "no_volume", "listed"]
    assert "v4" not in set(dataset["volume"]) and "v1" in set(dataset["volume"])
    with pytest.raises(TableError, match=r"2 of 31 volumes \(6.5%\).*cohort.max_excluded_fraction"):
        build(manifest, refuse(stored, 4), unmatched, max_excluded_fraction=0.06)


def test_a_patient_in_two_splits():
    manifest, stored = parts()
    manifest.loc[1, "patient"] = "p0train"
    with pytest.raises(TableError, match="patient p0train is in the splits train and val"):
        build(manifest, stored)


def test_a_scan_of_two_patients():
    manifest, stored = parts()
    manifest.loc[3, "scan"] = "s0train"
    with pytest.raises(TableError, match="scan s0train is in the patients p0train and p1train"):
        build(manifest, stored)


def test_one_image_in_two_splits_under_different_names():
    manifest, stored = parts()
    stored.loc[2, "digest"] = "d0"
    with pytest.raises(TableError, match=r"v0 \(train\) and v2 \(test\) hold the same image"):
        build(manifest, stored)


def test_one_image_twice_in_a_split_is_told(caplog):
    manifest, stored = parts()
    stored.loc[3, "digest"] = "d0"
    build(manifest, stored)
    assert "v0 and v3 hold the same image under two patients" in caplog.text


def test_refused_volumes_hold_no_image():
    manifest, stored = parts()
    stored = refuse(refuse(stored, 1), 2)
    assert len(build(manifest, stored, max_excluded_fraction=0.5)[0]) == 28


def test_a_label_without_a_positive():
    manifest, stored = parts()
    manifest.loc[manifest["split"] == "val", "nodule"] = 0
    with pytest.raises(TableError, match="nodule has no positive in the val split"):
        build(manifest, stored)
    assert len(build(manifest, stored, required=("train", "test"))[0]) == 30


def test_an_empty_split():
    manifest, stored = parts()
    manifest = manifest[manifest["split"] == "test"]
    with pytest.raises(TableError, match="the train split has no volumes"):
        build(manifest, stored)
    assert len(build(manifest, stored, required=("test",))[0]) == 10


def test_a_volume_that_no_shard_has():
    manifest, stored = parts()
    with pytest.raises(TableError, match="v7: is in no shard"):
        build(manifest, stored.drop(7))


def test_external_images_that_were_learned_from_are_named(caplog):
    internal, internal_stored = parts()
    _, stored = parts(6)
    stored["volume"], stored["digest"] = "w" + stored["volume"], [*(f"own{n}" for n in range(4)), "", ""]
    internal_stored.loc[7, "digest"] = ""  # refused on both sides: no image is no image
    check_unseen(stored, internal, internal_stored)
    stored.loc[0, "digest"] = internal_stored.loc[2, "digest"]
    check_unseen(stored, internal, internal_stored)  # of the internal test split: nothing was learned from it
    stored.loc[1:2, "digest"] = internal_stored.loc[[3, 4], "digest"].tolist()
    with pytest.raises(TableError, match=r"2 of 6 external volumes .* such as wv1 is v3 \(train\)"):
        check_unseen(stored, internal, internal_stored)
    assert "wv2 is v4 (val)" in caplog.text and "wv0" not in caplog.text


def test_all_of_an_external_cohort_is_the_test_split(tmp_path):
    patients = pd.DataFrame({"nodule": [1.0, 0.0, None] * 10}, index=[f"p{n}" for n in range(30)])
    block = {"fractions": {"train": 0, "val": 0, "test": 1}, "require_positives": []}
    for few in (patients, patients[:3]):
        given = pd.Series([SPLITS] * len(few), index=few.index)
        split = split_patients(few, given, SplitSettings.from_config(block), 0, tmp_path / f"{len(few)}.tsv")
        assert set(split) == {"test"}
