"""Names that may be one are never silently two, and numbers never silently others."""

import shutil

import numpy as np
import pytest

from hounsfield.cohort.facts import decimal_mark, read_numbers
from hounsfield.cohort.matching import add_groups
from hounsfield.errors import ConfigError, TableError
from hounsfield.tables import read_table


def rows_of(names, **columns):
    rows = [{"VolumeName": f"train_{n}_a_1.nii.gz", "nodule": n % 2, "effusion": 1} for n in range(len(names))]
    return [row | {"who": name} | columns for row, name in zip(rows, names, strict=True)]


@pytest.mark.parametrize(
    "names",
    [["P7", "p7"], ["007", "7"], ["P007", "P7"], ["Stra\u00dfe", "STRASSE"], ["a-01", "A-1"]],
)
def test_patients_that_may_be_one_stop_the_run_until_somebody_says(site, names):
    for n in range(4):
        site.volume(f"train_{n}_a_1.nii.gz")
    site.table("labels.csv", rows_of([*names, "x", "y"]))
    with pytest.raises(TableError, match=r"patients '.+' and '.+' differ only in case or .*similar_names"):
        site.build(patient_column="who")
    assert site.build(patient_column="who", similar_names="same").volumes["patient"].nunique() == 3
    site.cache.unlink()
    assert site.build(patient_column="who", similar_names="different").volumes["patient"].nunique() == 4


@pytest.mark.parametrize("names", [["12", "12.0"], [" 12", "12 "], ["\uff11\uff12", "12"], ["e\u0301", "\u00e9"]])
def test_spellings_of_one_name_are_one_patient(site, names):
    for n in range(3):
        site.volume(f"train_{n}_a_1.nii.gz")
    site.table("labels.csv", rows_of([*names, "x"]))
    assert site.build(patient_column="who").volumes["patient"].nunique() == 2


def test_names_of_tables_files_and_lists_are_compared_in_both_directions(site):
    for n in range(3):
        site.volume(f"train_{n}_a_1.nii.gz")
    rows = rows_of(["a", "b", "c"])
    site.table("labels.csv", rows)
    facts = [{"VolumeName": row["VolumeName"].upper(), "ZSpacing": 2.5, "XYSpacing": 1} for row in rows]
    metadata = site.table("metadata.csv", facts)
    with pytest.raises(TableError, match=r"metadata\.csv: the volumes 'TRAIN_0_A_1' and 'train_0_a_1'"):
        site.build(patient_column="who", metadata=[metadata])
    made = site.build(patient_column="who", metadata=[metadata], similar_names="same").volumes
    assert made["spacing_z"].tolist() == [2.5] * 3
    (site.folder / "out.txt").write_text("train_1_A_1\nnowhere\n")
    with pytest.raises(TableError, match=r"out\.txt: the volumes 'train_1_A_1' and 'train_1_a_1'"):
        site.build(patient_column="who", exclude=[str(site.folder / "out.txt")])
    (site.volumes / "train_2_a_1.nii.gz").rename(site.volumes / "train_02_a_1.nii.gz")
    with pytest.raises(TableError, match="'train_02_a_1' and 'train_2_a_1'"):
        site.build(patient_column="who")
    assert len(site.build(patient_column="who", similar_names="same").volumes) == 3


def test_each_entry_of_an_exclude_list_that_matched_nothing_is_named(site, caplog):
    site.table("labels.csv", site.patients(6))
    (site.folder / "out.txt").write_text("train_1_a_1.nii.gz\nabsent\ngone.nii\n", encoding="utf-16")
    made = site.build(exclude=[str(site.folder / "out.txt")])
    assert "no label table has the volume 'absent'" in caplog.text and "'gone'" in caplog.text
    assert set(made.unmatched["volume"]) == {"train_1_a_1", "absent", "gone"}


def test_a_patient_in_the_remembered_splits_does_not_move_for_a_spelling(site):
    site.table("labels.csv", site.patients(12))
    first = site.build().volumes.set_index("volume")["split"]
    table = read_table(site.cache, ["rule", "patient", "part"])
    text = site.cache.read_text()
    site.cache.write_text(text.replace("train_3\t", "Train_03\t"))
    with pytest.raises(TableError, match="'Train_03' and 'train_3'"):
        site.build()
    assert site.build(similar_names="same").volumes.set_index("volume")["split"].equals(first)
    for wrong, told in {
        text.replace("\ttest\n", "\ttset\n", 1): "'tset' is no split",
        text + text.splitlines()[-1] + "\n": "twice under one rule",
        text.replace("patient", "who", 1): "does not remember the splits any more",
        text.replace(table["rule"][0], "", 1): "line 2 has no rule or no patient",
    }.items():
        site.cache.write_text(wrong)
        with pytest.raises(TableError, match=told):
            site.build()


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (["2,5", "1,25", "3"], [2.5, 1.25, 3]),
        (["0,625", "1,250"], [0.625, 1.25]),
        (["-1,024.5", "3"], [-1024.5, 3]),
        (["-1.024,5", "3"], [-1024.5, 3]),
        (["1e-3", "2.5"], [0.001, 2.5]),
        (["1,250"], [None]),
        (["-1,024", "0"], [None, 0]),
        (["2.5", "2,5"], [2.5, None]),
    ],
)
def test_one_number_is_never_two_and_a_riddle_is_none(texts, numbers):
    mark = decimal_mark(texts)
    assert [read_numbers(text, mark, pairs=False) for text in texts] == [None if n is None else [n] for n in numbers]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("[0,7 0,7]", [0.7, 0.7]),
        ("[0.7, 0.8]", [0.7, 0.8]),
        ("0.7\\0.8", [0.7, 0.8]),
        ("0,7;0,8", [0.7, 0.8]),
        ("0.7,0.8", [0.7, 0.8]),
        ("[1,1]", [1, 1]),
        ("1,5", [1.5]),
        ("0,7,0,7", None),
        ("0.7 0.7 0.7", []),
    ],
)
def test_pairs_in_all_spellings(text, numbers):
    assert read_numbers(text, decimal_mark([text]), pairs=True) == numbers


def test_a_riddle_is_named_with_its_row_and_column(site):
    site.table("labels.csv", [row | {"ZSpacing": "1,250"} for row in site.patients(4)])
    with pytest.raises(TableError, match=r"train_1_a_1: ZSpacing is '1,250', which may be one number or several"):
        site.build()


def test_a_german_spreadsheet_gives_its_spacing(site):
    columns = {"ZSpacing": "2,5", "XYSpacing": "[0,7 0,8]", "RescaleIntercept": "-1024"}
    site.table("labels.csv", [row | columns for row in site.patients(4)])
    made = site.build().volumes
    for column, value in {"spacing_z": 2.5, "spacing_y": 0.7, "spacing_x": 0.8, "intercept": -1024}.items():
        np.testing.assert_array_equal(made[column], value)


@pytest.mark.parametrize(
    ("ages", "told"),
    [
        (["45,5", "", "46", "47,25"], ["45.5", "", "46.0", "47.25"]),
        (["45,5", "063Y", "46", ""], ["45,5", "063Y", "46", ""]),
        (["45.5", "46", "", "7"], ["45.5", "46", "", "7"]),
        (["1-2", "3,4", "x,y", "a"], ["1-2", "3,4", "x,y", "a"]),
    ],
)
def test_subgroups_with_decimal_commas_are_numbers(site, ages, told):
    rows = site.patients(2)
    site.table("labels.csv", [row | {"age": age} for row, age in zip(rows, ages, strict=True)])
    assert site.build(subgroups={"age": "age"}).metadata["age"].tolist() == told


def test_a_pattern_that_never_ends_is_stopped_with_advice(site, monkeypatch):
    monkeypatch.setattr("hounsfield.cohort.matching.PATTERN_SECONDS", 0.3)
    site.table("labels.csv", [{"VolumeName": "a" * 60 + "!.nii.gz", "nodule": 1, "effusion": 0}])
    with pytest.raises(ConfigError, match=r"volume_pattern.*takes for ever at 'aaaa.*repeats within repeats"):
        site.build(volume_pattern="(?P<patient>(a+)+)")


def test_a_table_that_is_edited_while_it_is_read_is_read_again(site, monkeypatch):
    path = site.table("labels.csv", site.patients(6))

    def edit(table, cohort):
        with open(path, "a", encoding="utf-8") as file:
            file.write("\n")
        return add_groups(table, cohort)

    monkeypatch.setattr("hounsfield.cohort.manifest.add_groups", edit)
    with pytest.raises(TableError, match=r"labels\.csv: was edited while it was read; run the same command again"):
        site.build()


def test_volumes_that_do_not_match_are_shown_beside_the_files(site):
    site.volume("scan-17.nii.gz")
    site.table("labels.csv", [{"VolumeName": "train_1_a_1", "nodule": 1, "effusion": 0}])
    with pytest.raises(TableError, match=r"the file scan-17\.nii\.gz is named 'scan-17' and the row 'train_1_a_1'"):
        site.build()
    with pytest.raises(
        TableError, match=r"cohort\.path leads to ct/train_1_a_1 for it, and a file there is scan-17\.nii"
    ):
        site.build(path="ct/{volume}")
    for folder in ("imagesTr", "labelsTr"):
        site.volume(f"{folder}/train_1_a_1.nii.gz")
    with pytest.raises(
        TableError, match=r"such as imagesTr/train_1_a_1\.nii\.gz and labelsTr/train_1_a_1\.nii\.gz; give"
    ):
        site.build()
    assert len(site.build(path="imagesTr/{volume}").volumes) == 1
    shutil.rmtree(site.volumes / "imagesTr")
    shutil.rmtree(site.volumes / "labelsTr")
    (site.volumes / "scan-17.nii.gz").unlink()
    with pytest.raises(TableError, match="it holds no file that is a volume"):
        site.build()
    site.table("labels.csv", [{"VolumeName": "train_1_a_1", "nodule": "", "effusion": ""}])
    with pytest.raises(TableError, match=r"none of their volumes is left to look for .*1 for no_labels"):
        site.build()


def test_words_of_yaml_mean_what_was_written(site):
    words = {"yes": True, "no": False, "null": None}
    rows = [row | {"nodule": word} for row, word in zip(site.patients(3)[::2], words, strict=True)]
    site.table("labels.csv", rows)
    made = site.build(uncertain={True: 1, False: 0, None: "mask"}).volumes
    assert made["nodule"].tolist()[:2] == [1, 0] and made["nodule"].isna().tolist() == [False, False, True]
