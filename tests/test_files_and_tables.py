import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from hounsfield.errors import TableError
from hounsfield.files import atomic_write, working_folder
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


LEFT = """
import os, sys
from hounsfield.files import working_folder
with working_folder(sys.argv[1], ".export-") as folder:
    (folder / "half").write_text("x")
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_process_left_is_removed_and_what_is_at_work_stays(tmp_path):
    def start():
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        process = subprocess.Popen([sys.executable, "-c", LEFT, str(tmp_path)], **streams)
        return process, Path(process.stdout.readline().strip())

    (killed, left), (alive, working) = start(), start()
    killed.kill()
    killed.wait()
    assert (left / "half").exists()
    (tmp_path / ".export-of-a-user").mkdir()
    with working_folder(tmp_path, ".export-") as own:
        assert own.is_dir() and (working / "half").exists() and not left.exists()
    alive.communicate()
    assert [path.name for path in tmp_path.iterdir()] == [".export-of-a-user"]
