"""Users' tables are read whole, as text, or not at all."""

from zipfile import ZipFile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hounsfield import user_tables
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
        ("VolumeName,nodule\n,1\n", "line 2 has no usable 'VolumeName'"),
        ('VolumeName,nodule\na,1\n"b\nc",1\n', "line 3 has no usable 'VolumeName'"),
        ("", "lacks the column 'VolumeName'"),
    ],
)
def test_what_is_not_whole_is_refused_in_one_line(tmp_path, text, told):
    with pytest.raises(TableError) as caught:
        read(tmp_path, text)
    assert told in str(caught.value)
    assert "labels.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


WESTERN = "".join(f"Müller-Lüdenscheidt {n},{n % 2}\nFrançois Äußerung {n},0\n" for n in range(20))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "latin-1", "cp1252"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_encodings_and_separators_are_found_and_named(tmp_path, caplog, encoding, separator):
    text = ("VolumeName,nodule\n" + WESTERN).replace(",", separator)
    frame = read(tmp_path, text, encoding=encoding)
    assert frame["volume"].tolist()[:2] == ["Müller-Lüdenscheidt 0", "François Äußerung 0"]
    assert frame["nodule"].tolist()[:3] == ["0", "0", "1"]
    assert ("labels.csv: is not UTF-8; read as" in caplog.text) == (encoding in ("latin-1", "cp1252"))
    assert ("columns are parted by" in caplog.text) == (separator != ",")


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16-le", "utf-16-be"])
def test_a_few_accents_are_western_and_utf_16_needs_no_mark(tmp_path, encoding):
    names = ["Müller", "Étude", "niño", "à"]
    text = "VolumeName,nodule\n" + "".join(f"{name},1\n" for name in names)
    assert read(tmp_path, text, encoding=encoding)["volume"].tolist() == names


@pytest.mark.parametrize("name", ["labels.csv", "labels.tsv", "labels.txt"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators_within_cells_part_nothing(tmp_path, name, separator):
    lines = [["VolumeName", "PatientID", "x, y; z", "nodule"], ["a", "x, y", "", "0,7"], [], ["b", "u;v;w", "", "1"]]
    lines = [[f'"{cell}"' if separator in cell else cell for cell in cells] for cells in lines]
    frame = read(tmp_path, "\n".join(separator.join(cells) for cells in lines), name)
    assert frame["PatientID"].tolist() == ["x, y", "u;v;w"]
    assert frame["nodule"].tolist() == ["0,7", "1"]


def test_a_separator_that_excel_tells_is_no_row(tmp_path):
    frame = read(tmp_path, "sep=;\r\nVolumeName;nodule\r\na,b;1\r\n")
    assert frame["volume"].tolist() == ["a,b"]
    with pytest.raises(TableError, match="line 3 has 1 cells"):
        read(tmp_path, "sep=;\nVolumeName;nodule\na\n")


@pytest.mark.parametrize(
    "content", [b"\xff\xfeV\x00o", b"VolumeName,nodule\na\x00b,1\n", b"\x00\x01\x02\x03" * 100, bytes(range(256)) * 4]
)
def test_bytes_that_are_no_text_are_refused(tmp_path, content):
    (tmp_path / "labels.csv").write_bytes(content)
    with pytest.raises(TableError, match=r"labels\.csv: "):
        read_user_tables([str(tmp_path / "labels.csv")], "VolumeName", lambda column: False)


def test_a_missing_file_is_refused(tmp_path):
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


def test_the_first_visible_sheet_of_excel_is_read_with_its_true_rows(tmp_path, caplog):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    old, new = book.active, book.create_sheet("New labels")
    old.sheet_state = "hidden"
    old.append(["VolumeName", "nodule"])
    old.append(["a", 0])
    rows = {1: ("VolumeName", "nodule"), 2: ("a", 1.0), 5: ("b", "#N/A"), 9: (" ", None), 12: (7.5, True)}
    for line, row in rows.items():
        for column, value in enumerate(row, 1):
            new.cell(line, column, value)
    book.save(tmp_path / "labels.xlsm")
    frame = read_user_tables([str(tmp_path / "labels.xlsm")], "VolumeName", lambda column: False, ("nodule",))
    assert frame["volume"].tolist() == ["a", "b", "7.5"]
    assert frame["nodule"].tolist() == ["1", "#N/A", "True"]
    assert "the sheet 'New labels' is read, and not Sheet" in caplog.text
    new.cell(200, 2, 1)
    book.save(tmp_path / "labels.xlsm")
    with pytest.raises(TableError, match="line 200 has no usable 'VolumeName'"):
        read_user_tables([str(tmp_path / "labels.xlsm")], "VolumeName", lambda column: False, ("nodule",))


def workbook(path, cells):
    """An Excel file, by whatever name, of {place: value}."""
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for place, value in {"A1": "VolumeName", "B1": "nodule", "A2": "a", "B2": 1}.items() | cells.items():
        book.active[place] = value
    book.save(path.with_suffix(".xlsx"))
    path.with_suffix(".xlsx").rename(path)
    return str(path)


def read_excel(path):
    return read_user_tables([path], "VolumeName", lambda column: False, ("nodule",))


@pytest.mark.parametrize(
    "cells, told",
    [
        ({"A7": "b", "B7": "=B2"}, "line 7: B7 is a formula without a result"),
        ({"A9": 123456789012345678}, "line 9 has no usable 'VolumeName' ('1.23456789012346E+17')"),
        ({"A5": "b", "B5": 0, "D5": "note"}, "line 5 has 4 cells and the header 2"),
    ],
)
@pytest.mark.parametrize("name", ["labels.xlsx", "labels.csv"])
def test_what_excel_would_lose_is_refused_with_its_row(tmp_path, name, cells, told):
    with pytest.raises(TableError) as caught:
        read_excel(workbook(tmp_path / name, cells))
    assert told in str(caught.value)


def test_a_sheet_that_calls_itself_smaller_than_it_is(tmp_path):
    path = workbook(tmp_path / "labels.xlsx", {"A30": "b", "B30": 0.0})
    with ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content.replace(b'<dimension ref="A1:B30"', b'<dimension ref="A1:A2"'))
    assert b'ref="A1:B30"' in members["xl/worksheets/sheet1.xml"]
    assert read_excel(path)["nodule"].tolist() == ["1", "0"]


def test_a_sheet_has_bounds(tmp_path, monkeypatch):
    path = workbook(tmp_path / "labels.xlsx", {"A40": "b"})
    for name, most in (("MOST_EXCEL_ROWS", 39), ("MOST_EXCEL_CELLS", 4), ("LARGEST_EXCEL_BYTES", 100)):
        with monkeypatch.context() as patch:
            patch.setattr(user_tables, name, most)
            with pytest.raises(TableError, match=r"more cells than a table|more than any sheet"):
                read_excel(path)
    assert len(read_excel(path)) == 2


def test_excel_of_before_2007_is_told(tmp_path):
    (tmp_path / "labels.xls").write_bytes(bytes.fromhex("d0cf11e0a1b11ae1") + bytes(600))
    with pytest.raises(TableError, match=r"labels\.xls: .*before 2007; save it as \.xlsx or UTF-8 CSV"):
        read_excel(str(tmp_path / "labels.xls"))


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
        ("\uff11\uff12.nii", "12"),
        ("123.0", "123"),
        (" 123.0.nii.gz ", "123"),
        ("1.0.1", "1.0.1"),
        ("a\uff0fb", "b"),
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
