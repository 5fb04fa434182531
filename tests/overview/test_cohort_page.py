"""The page of the cohort: every volume has its picture, and what is counted is what the tables hold."""

import json
import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hounsfield.overview.page import label_table, together_table, write_page
from hounsfield.overview.pictures import draw_shard, in_hu, picture
from hounsfield.volumes.settings import PreprocessingSettings

SETTINGS = PreprocessingSettings(spacing=(5.0, 5.0, 5.0), shape=(16, 16, 16))
WINDOW = (-1000.0, 400.0)
PATHOLOGIES = ["bright", "low"]


@pytest.fixture
def cohort(small_cohort):
    """(dataset, stored, store): the second volume has the voxels of the first, and a hostile name."""
    dataset, store = small_cohort
    dataset = dataset.copy()
    dataset.loc[1, "volume"] = "</script><script>alert(1)</script>"
    facts = {f"{kind}_{axis}": value for axis in "zyx" for kind, value in (("spacing", 2.5), ("shape", 40))}
    stored = dataset[["volume", "key"]].assign(digest=dataset["key"], hu_source="header", **facts)
    stored.loc[1, "digest"] = stored.loc[0, "digest"]
    return dataset, stored, store


@pytest.fixture
def page(cohort, tmp_path):
    """The page's path."""
    dataset, stored, store = cohort
    volumes, histogram = draw_shard(stored, store, SETTINGS, WINDOW, tmp_path / "pictures/00")
    excluded = pd.DataFrame({"volume": ["lost"], "reason": ["truncated"], "detail": ["the file is cut short"]})
    config = {"name": "small", "preprocessing": {"spacing": [5, 5, 5], "shape": [16, 16, 16]}}
    out = tmp_path / "index.html"
    write_page(dataset, stored, volumes.assign(shard="00"), histogram, excluded, PATHOLOGIES, config, out)
    return out


def test_every_volume_has_its_picture_and_all_its_voxels_are_counted(cohort, tmp_path):
    _, stored, store = cohort
    refused = pd.DataFrame({"volume": ["refused"], "key": [np.nan]})
    volumes, histogram = draw_shard(pd.concat([stored, refused]), store, SETTINGS, WINDOW, tmp_path)
    assert volumes["volume"].tolist() == stored["volume"].tolist()
    assert sorted(path.stem for path in tmp_path.glob("*.png")) == sorted(stored["key"])
    assert histogram["voxels"].sum() == 16**3 * len(stored)
    middle = volumes["hu_median"]
    assert middle.between(-700, -500).all() and (volumes["hu_p01"] < middle).all()


def test_planes_are_the_right_way_up():
    """A bright cube at the head, in front, on the patient's left."""
    hu = np.full((20, 20, 20), -1000, np.int16)
    hu[9:20, 0:11, 9:20] = 400
    image = np.asarray(picture(hu, np.ones(128), (1, 1, 1), WINDOW))
    axial, coronal, sagittal = (image[:96, left : left + 96] for left in (0, 98, 196))
    assert axial[10, 85] > 250 and axial[85, 10] < 5  # in front is up, left is on the right
    assert coronal[10, 85] > 250 and coronal[85, 10] < 5  # the head is up
    assert sagittal[10, 10] > 250 and sagittal[85, 85] < 5  # in front is on the left


def test_proportions_are_those_of_the_patient():
    hu = np.zeros((10, 40, 40), np.int16)
    image = np.asarray(picture(hu, np.ones(128), (4, 1, 1), (-1, 1)))
    assert (image[:96, 98 : 98 + 96] > 0).any(axis=1).sum() == 96


def test_bytes_are_read_as_hu():
    settings = PreprocessingSettings((1, 1, 1), (2, 2, 2), dtype="uint8", window=(-1000.0, 1000.0))
    assert in_hu(np.array([0, 255], np.uint8), settings).tolist() == [-1000, 1000]


def test_the_data_are_whole_and_cannot_break_out(page, cohort):
    text = page.read_text()
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, flags=re.S)[1])
    assert [row[0] for row in data["rows"]] == cohort[0]["volume"].tolist()
    assert [row[-1] for row in data["rows"]][:3] == [2, 2, 1]
    assert "alert(1)</script>" not in text
    assert all((page.parent / row[4]).is_file() for row in data["rows"])


def test_labels_are_counted_by_scan(cohort):
    dataset, _, _ = cohort
    twice = pd.concat([dataset, dataset.assign(volume=dataset["volume"] + "_2")])
    cells = label_table(twice, PATHOLOGIES).rows[0][1:]
    assert [cell.text for cell in cells] == ["7", "3", "4"]
    assert cells[0].interval == "50.0% of 14"


def test_findings_that_come_together():
    scans = pd.DataFrame({"scan": list("abcd"), "bright": [1, 1, 0, 0], "low": [1, 0, 0, np.nan]})
    rows = together_table(scans, PATHOLOGIES).rows
    assert [cell.text for cell in rows[0][1:]] == ["100", "50"] and [cell.text for cell in rows[1][1:]] == [
        "100",
        "100",
    ]


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium")
@pytest.mark.parametrize(("fragment", "shown"), [("", "28 of 28"), ("#volume=train_5_a_1", "1 of 28")])
def test_the_gallery_is_shown_in_a_browser(page, fragment, shown):
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=3000", "--dump-dom"]
    done = subprocess.run([*command, f"file://{page}{fragment}"], capture_output=True, text=True, check=True)
    assert f"{shown} volumes" in done.stdout
    assert done.stdout.count("<figure id=") == int(shown.split()[0])


def test_pictures_are_small(cohort, tmp_path):
    """50,000 of them stay below half a gigabyte."""
    _, stored, store = cohort
    draw_shard(stored[:3], store, SETTINGS, WINDOW, tmp_path)
    assert max(path.stat().st_size for path in tmp_path.glob("*.png")) < 10_000
    assert Image.open(next(tmp_path.glob("*.png"))).size == (292, 122)
