import pandas as pd
import pytest

from hounsfield.errors import TableError
from hounsfield.files import atomic_write
from hounsfield.tables import read_table, write_table


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "table.tsv"
    target.write_text("old")
    with pytest.raises(OSError, match="disk full"), atomic_write(target) as partial:
        partial.write_text("half")
        raise OSError("disk full")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_table_survives_the_round_trip(tmp_path):
    path = tmp_path / "table.tsv"
    frame = pd.DataFrame(
        {"volume": ["007", "NA", "-x", "a\tb\n\"'"], "value": [0.1 + 0.2, None, 1e-300, 3.0], "n": [1, 2, 3, 4]}
    )
    write_table(frame, path)
    pd.testing.assert_frame_equal(read_table(path, text=["volume"]), frame, check_dtype=False)


def test_undefined_is_an_empty_cell(tmp_path):
    path = tmp_path / "table.tsv"
    write_table(pd.DataFrame({"pathology": ["x"], "roc_auc": [float("nan")], "n": [0]}), path)
    assert path.read_text() == "pathology\troc_auc\tn\nx\t\t0\n"


@pytest.mark.parametrize("text", [None, "", 'a\tb\n"open\t1\n'])
def test_a_damaged_table_is_refused_by_name(tmp_path, text):
    path = tmp_path / "table.tsv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(TableError, match=r"table\.tsv"):
        read_table(path)


def test_a_missing_column_is_named(tmp_path):
    path = tmp_path / "table.tsv"
    path.write_text("a\n1\n")
    with pytest.raises(TableError, match="'volume'"):
        read_table(path, text=["volume"])
