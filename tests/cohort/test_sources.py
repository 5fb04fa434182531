"""Users' tables are read whole, as text, or not at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hounsfield.cohort.sources import is_writable_name, read_user_tables, volume_name
from hounsfield.errors import TableError


def read(tmp_path, text, name="labels.csv", encoding="utf-8", required=("nodule",)):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return read_user_tables([str(path)], "VolumeName", lambda column: column == "PatientID", required)


def test_text_stays_text_and_unwanted_columns_are_left_out(tmp_path):
    frame = read(tmp_path, "VolumeName,PatientID,nodule,Report\n007,NA,1.0,long\nnan,1e3,,\n")
    assert frame["volume"].tolist() == ["007", "nan"]
    assert frame["PatientID"].tolist() == ["NA", "1e3"]
    assert frame["nodule"].tolist() == ["1.0", ""]
    assert "Report" not in frame


@pytest.mark.parametrize("name, separator", [("labels.csv", ","), ("labels.tsv", "\t")])
def test_bom_quotes_spaces_in_headers_and_empty_lines(tmp_path, name, separator):
    lines = [["VolumeName", " nodule "], ['"a ""b"" c.nii.gz"', "1"], [], ["", ""], ["d.nii", "0"]]
    text = "\n".join(separator.join(cells) for cells in lines) + "\n"
    frame = read(tmp_path, text, name, "utf-8-sig")
    assert frame["volume"].tolist() == ['a "b" c', "d"]
    assert frame["nodule"].tolist() == ["1", "0"]


def test_a_trailing_separator_is_no_column(tmp_path):
    assert read(tmp_path, "VolumeName,nodule\na,1,\nb,0,\n")["nodule"].tolist() == ["1", "0"]


@pytest.mark.parametrize(
    "text, told",
    [
        ("VolumeName,nodule,PatientID\na,1,x\nb,0\n", "line 3 has 2 cells and the header 3"),
        ("VolumeName,nodule\na,1\nb,0,1\n", "line 3 has 3 cells and the header 2"),
        ('VolumeName,nodule\na,"1\n', "cannot be read"),
        ("VolumeName,nodule,nodule\na,1,0\n", "two columns named 'nodule'"),
        ("VolumeName,noduel\na,1\n", "did you mean 'noduel'"),
        ("Volume,nodule\na,1\n", "did you mean 'Volume'"),
        ("VolumeName,nodule\n,1\n", "row 1 has no usable 'VolumeName'"),
        ('VolumeName,nodule\na,1\n"b\nc",1\n', "row 2 has no usable 'VolumeName'"),
        ("", "lacks the column 'VolumeName'"),
    ],
)
def test_what_is_not_whole_is_refused_in_one_line(tmp_path, text, told):
    with pytest.raises(TableError) as caught:
        read(tmp_path, text)
    assert told in str(caught.value)
    assert "labels.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_encoding_and_a_missing_file_are_refused(tmp_path):
    with pytest.raises(TableError, match="UTF-8"):
        read(tmp_path, "VolumeName,nodule\nmüller,1\n", encoding="latin-1")
    with pytest.raises(TableError, match="cannot be read"):
        read_user_tables([str(tmp_path / "none.csv")], "VolumeName", lambda column: False)


def test_excel_reads_as_text(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (["VolumeName", "nodule"], ["AC1", 1], ["007", None], ["NA", 0]):
        book.active.append(row)
    book.save(tmp_path / "labels.xlsx")
    frame = read_user_tables([str(tmp_path / "labels.xlsx")], "VolumeName", lambda column: False, ("nodule",))
    assert frame["volume"].tolist() == ["AC1", "007", "NA"]
    assert frame["nodule"].tolist() == ["1", "", "0"]


def test_a_file_that_is_no_excel_is_refused(tmp_path):
    (tmp_path / "labels.xlsx").write_text("VolumeName,nodule\n")
    with pytest.raises(TableError, match="Excel"):
        read_user_tables([str(tmp_path / "labels.xlsx")], "VolumeName", lambda column: False)


@pytest.mark.parametrize(
    "written, name",
    [
        ("train_1_a_1.nii.gz", "train_1_a_1"),
        ("train/train_1_a_1.NII.GZ", "train_1_a_1"),
        ("../../x", "x"),
        ("a\\b\\c.npz", "c"),
        ("1.2.840.113619", "1.2.840.113619"),
        (" series/ ", "series"),
        ("-rf.nii", "-rf"),
        ("e\u0301tude.nii.gz", "\u00e9tude"),
    ],
)
def test_volume_name(written, name):
    assert volume_name(written) == name


@given(st.text())
def test_a_volume_name_is_never_a_path(written):
    assert "/" not in volume_name(written)
    assert "\\" not in volume_name(written)


def test_names_that_a_table_cannot_hold():
    assert is_writable_name("<script> 'x' \u5f71\u50cf")
    assert not is_writable_name("a\tb")
    assert not is_writable_name("a\udcffb")
