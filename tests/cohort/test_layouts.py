"""Volumes are found wherever they lie, whatever their names, and never outside their folder."""

import os
from pathlib import Path

import pytest

from hounsfield.cohort.manifest import write_shards
from hounsfield.errors import TableError
from hounsfield.tables import read_table

HOSTILE = [
    "a b",
    "-rf",
    "it's",
    'say "x"',
    "<script>alert(1)</script>"[:-9],
    "\u80ba\u00e9\U0001fac1",
    "x" * 200,
    "{volume}",
    "%s$HOME`id`",
    "NA",
    "=1+1",
]


@pytest.mark.parametrize(
    "layout, path",
    [
        ("{name}.nii.gz", None),
        ("{name}.nii.gz", "{volume}"),
        ("train/{patient}/{scan}/{name}.nii.gz", None),
        ("train/{patient}/{scan}/{name}.nii.gz", "train/{patient}/{scan}/{volume}.nii.gz"),
        ("any/{name}/image.nii.gz", "any/{volume}/image.nii.gz"),
        ("odd place/{name}.nii.gz", "{Where it is}"),
    ],
)
def test_layouts(site, layout, path):
    rows = []
    for number in (1, 2):
        names = {"patient": f"train_{number}", "scan": f"train_{number}_a", "name": f"train_{number}_a_1"}
        place = layout.format(**names)
        site.volume(place)
        rows.append({"VolumeName": names["name"], "nodule": 1, "effusion": 0, "Where it is": place})
    site.table("labels.csv", rows)
    made = site.build(path=path)
    assert len(made.volumes) == 2
    assert all(os.path.isfile(found) for found in made.volumes["path"])


@pytest.mark.parametrize("path", [None, "{volume}"])
def test_a_folder_of_slices_a_scan(site, path):
    rows = []
    for number in (1, 2):
        for name in ("IM0001", "1.2.840.7", "x.dcm"):
            site.volume(f"train_{number}_a_1/{name}", f"{number}{name}")
        rows.append({"VolumeName": f"train_{number}_a_1", "nodule": 1, "effusion": 0})
    (site.volumes / "notes").mkdir()
    (site.volumes / "notes" / "readme.txt").write_text("no slice")
    site.table("labels.csv", rows)
    made = site.build(path=path)
    assert made.volumes["volume"].tolist() == ["train_1_a_1", "train_2_a_1"]
    assert made.unmatched.empty
    before = made.volumes["stamp"].tolist()
    site.volume("train_1_a_1/x.dcm", "written over, in place")
    after = site.build(path=path).volumes["stamp"].tolist()
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, True]


@pytest.mark.parametrize("path", [None, "{volume}.nii.gz"])
def test_hostile_names_neither_break_nor_escape(site, path):
    rows = [{"VolumeName": name, "nodule": 1, "effusion": 0} for name in HOSTILE]
    for name in HOSTILE:
        site.volume(f"{name}.nii.gz")
    site.table("labels.csv", rows)
    made = site.build(path=path, volume_pattern="(?P<patient>.+)", shards=3)
    assert sorted(made.volumes["volume"]) == sorted(HOSTILE)
    write_shards(made, site.folder / "shards", 3)
    back = [read_table(site.folder / "shards" / f"0{n}.tsv", ["volume", "path", "stamp", "hu"]) for n in range(3)]
    pairs = {name: path for table in back for name, path in zip(table["volume"], table["path"], strict=True)}
    assert {name: Path(path).name for name, path in pairs.items()} == {name: f"{name}.nii.gz" for name in HOSTILE}


def test_a_path_out_of_the_folder_is_refused(site):
    (site.folder / "secret.nii.gz").write_bytes(b"x")
    for value in ("../secret.nii.gz", str(site.folder / "secret.nii.gz"), "a/../../secret.nii.gz"):
        site.table("labels.csv", [{"VolumeName": "train_1_a_1", "nodule": 1, "effusion": 0, "where": value}])
        with pytest.raises(TableError, match=r"train_1_a_1: its path .* is not inside"):
            site.build(path="{where}")
    site.table("labels.csv", [{"VolumeName": "../../train_1_a_1", "nodule": 1, "effusion": 0}])
    with pytest.raises(TableError, match="has none of the 1 volumes"):
        site.build()


def test_two_volumes_of_one_name_are_refused(site):
    rows = [{"VolumeName": f"{folder}/ct.nii.gz", "nodule": 1, "effusion": 0} for folder in ("p1", "p2")]
    site.table("labels.csv", rows)
    with pytest.raises(TableError, match="p1/ct and p2/ct are two volumes of one name"):
        site.build()


def test_links_are_followed_once(site):
    site.table("labels.csv", site.patients(2))
    site.volume("../elsewhere/train_3_a_1.nii.gz")
    (site.volumes / "link").symlink_to(site.folder / "elsewhere")
    (site.volumes / "link" / "loop").symlink_to(site.volumes)
    assert site.build().unmatched[["volume", "reason"]].to_numpy().tolist() == [["train_3_a_1", "no_labels"]]
