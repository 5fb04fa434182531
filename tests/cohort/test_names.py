"""A name is one name however a table, a list or a file spells it; where only the user knows, the run stops."""

import pytest

from hounsfield.cohort.sources import folded_name
from hounsfield.errors import TableError

SAME_TO_A_COMPUTER = [("12", "12.0"), ("12", " 12 "), ("M\u00fcller_1", "Mu\u0308ller_1"), ("P7", "\uff30\uff17")]
SAME_TO_A_PERSON = [("P007", "p007"), ("0012", "12"), ("sub-01_ct", "sub-1_CT")]
PATTERN = "(?P<patient>.+)"


def label_row(name, **others):
    return {"VolumeName": name, "nodule": 1, "effusion": 0} | others


def cohort_of(site, labels="a", metadata="a", listed="", file="a"):
    """A volume whose name is spelled so in each place, beside another of plain name."""
    site.volume(f"{file}.nii.gz")
    site.volume("other.nii.gz")
    site.table("labels.csv", [label_row(labels), label_row("other")])
    told = site.table("metadata.csv", [{"VolumeName": metadata, "sex": "F"}])
    (site.folder / "list.txt").write_text(f"{listed}\n", encoding="utf-8")
    return {"metadata": [told], "subgroups": {"sex": "sex"}, "exclude": [str(site.folder / "list.txt")]}


@pytest.mark.parametrize("path", [None, "{volume}.nii.gz", "{volume}"])
@pytest.mark.parametrize("one, other", SAME_TO_A_COMPUTER)
@pytest.mark.parametrize("place", ["labels", "metadata", "file", "listed"])
def test_spellings_of_computers_are_one_name(site, path, one, other, place):
    spelled = dict.fromkeys(["labels", "metadata", "file"], one) | {place: other}
    made = site.build(**cohort_of(site, **spelled), path=path, volume_pattern=PATTERN)
    if place == "listed":
        assert made.volumes["volume"].tolist() == ["other"]
        assert made.unmatched["reason"].tolist() == ["listed"]
    else:
        assert made.unmatched.empty
        assert sorted(made.metadata["sex"]) == ["", "F"]


@pytest.mark.parametrize("path", [None, "{volume}.nii.gz"])
@pytest.mark.parametrize("one, other", SAME_TO_A_PERSON)
@pytest.mark.parametrize("place", ["labels", "metadata", "file", "listed"])
def test_case_and_leading_zeros_stop_the_run(site, path, one, other, place):
    spelled = dict.fromkeys(["labels", "metadata", "file"], one) | {place: other}
    told = cohort_of(site, **spelled) | {"path": path, "volume_pattern": PATTERN}
    with pytest.raises(TableError) as caught:
        site.build(**told)
    message = str(caught.value).replace(".nii.gz", "")
    assert repr(one) in message and repr(other) in message
    assert "cohort.similar_names" in str(caught.value)
    one_name = site.build(**told, similar_names="same", max_excluded_fraction=1)
    lost = one_name.unmatched["reason"].tolist()
    assert lost == (["listed"] if place == "listed" else [])
    several = site.build(**told, similar_names="different", max_excluded_fraction=1)
    if place in ("labels", "file"):
        assert several.volumes["volume"].tolist() == ["other"]
    else:
        assert len(several.volumes) == 2 and (several.metadata["sex"] == "").all() == (place == "metadata")


@pytest.mark.parametrize("order", [("a/p7", "b/P07"), ("a/P07", "b/p7")])
def test_files_of_one_name_to_a_person_are_several(site, order):
    for file in (*order, "c/x"):
        site.volume(f"{file}.nii.gz")
    site.table("labels.csv", [label_row("p7"), label_row("x")])
    made = site.build(volume_pattern=PATTERN, similar_names="same", max_excluded_fraction=1)
    assert made.unmatched[["volume", "reason"]].to_numpy().tolist() == [["p7", "several_files"]]
    for file in order:
        assert f"{file}.nii.gz" in made.unmatched["detail"].item()
    apart = site.build(volume_pattern=PATTERN, similar_names="different").volumes.set_index("volume")["path"]
    assert apart["p7"].endswith("/p7.nii.gz")


@pytest.mark.parametrize("one, other", SAME_TO_A_PERSON)
@pytest.mark.parametrize("second", ["labels", "metadata"])
def test_one_patient_is_never_two(site, one, other, second):
    for name in ("a", "b"):
        site.volume(f"{name}.nii.gz")
    people = [one, other] if second == "labels" else [one, one]
    site.table("labels.csv", [label_row(name, pid=person) for name, person in zip("ab", people, strict=True)])
    told = {"patient_column": "pid", "metadata": [site.table("m.csv", [{"VolumeName": "b", "pid": other}])]}
    with pytest.raises(TableError, match=r"patients .* differ only in case or leading zeros"):
        site.build(**told)
    assert site.build(**told, similar_names="same").volumes["patient"].tolist() == [one, one]
    apart = site.build(**told, similar_names="different", max_excluded_fraction=1)
    if second == "labels":
        assert apart.volumes["patient"].tolist() == [one, other]
    else:
        assert apart.unmatched["reason"].tolist() == ["metadata_conflict"]


def test_a_remembered_patient_of_another_spelling_is_not_dealt_out_anew(site):
    rows = [label_row(f"v{number}", pid=f"{number:03d}") for number in range(1, 31)]
    for row in rows:
        site.volume(f"{row['VolumeName']}.nii.gz")
    site.table("labels.csv", rows)
    before = site.build(patient_column="pid").volumes["split"].tolist()
    site.table("labels.csv", [row | {"pid": str(int(row["pid"]))} for row in rows])
    with pytest.raises(TableError, match=r"splits\.tsv: the patients '001' and '1'"):
        site.build(patient_column="pid")
    assert site.build(patient_column="pid", similar_names="same").volumes["split"].tolist() == before


@pytest.mark.parametrize(
    "column, theirs, own", [("pid", "P2", "P1"), ("part", "test", "train"), ("ZSpacing", "2", "1.5")]
)
def test_labels_and_metadata_that_contradict_one_another(site, column, theirs, own):
    rows = [row | {"pid": "P1", "part": "train", "ZSpacing": "1.50"} for row in site.patients(1)]
    site.table("labels.csv", rows)
    told = {"VolumeName": rows[0]["VolumeName"], "pid": "P1", "part": "train", "ZSpacing": "1.5"} | {column: theirs}
    block = {"patient_column": "pid", "metadata": [site.table("m.csv", [told])], "max_excluded_fraction": 0.5}
    made = site.build(split={"column": "part"}, **block)
    assert made.unmatched[["volume", "reason"]].to_numpy().tolist() == [["train_1_a_1", "metadata_conflict"]]
    site.table("m.csv", [told | {column: own}])
    assert site.build(split={"column": "part"}, **block).unmatched.empty


def test_a_patient_that_a_spreadsheet_shortened(site):
    site.table("labels.csv", [row | {"pid": "1.23457E+11"} for row in site.patients(1)])
    with pytest.raises(TableError, match=r"train_1_a_1: a spreadsheet shortened its patient to '1\.23457E\+11'"):
        site.build(patient_column="pid")


def test_folded_names_keep_what_tells_names_apart():
    names = ["a1", "a10", "a100", "1.05", "1.5", "a-1", "a", "0", "00a"]
    assert len(set(map(folded_name, names))) == len(names)
