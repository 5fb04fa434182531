"""Tables and files become one manifest; what finds no partner is named, and stops the run where it should."""

import pytest

from hounsfield.cohort.manifest import write_shards
from hounsfield.errors import ConfigError, TableError
from hounsfield.tables import write_table

COLUMNS = "volume path scan patient split shard stamp slope intercept spacing_z spacing_y spacing_x nodule effusion"


def reasons(manifest):
    return dict(zip(manifest.unmatched["volume"], manifest.unmatched["reason"], strict=True))


def test_columns_and_values(site):
    site.table("labels.csv", site.patients(3))
    rows = [{"VolumeName": "train_1_a_1.nii.gz", "RescaleSlope": "1", "RescaleIntercept": "-1024.0", "ZSpacing": "1.5"}]
    rows[0] |= {"XYSpacing": "[0.7, 0.8]", "PatientSex": "F"}
    metadata = site.table("metadata.csv", rows)
    made = site.build(metadata=[metadata], subgroups={"sex": "PatientSex"})
    assert list(made.volumes) == COLUMNS.split()
    first = made.volumes.set_index("volume").loc["train_1_a_1"]
    assert (first["patient"], first["scan"], first["nodule"]) == ("train_1", "train_1_a", 1)
    assert first["slope":"spacing_x"].tolist() == [1, -1024, 1.5, 0.7, 0.8]
    assert made.volumes["slope"].isna().sum() == 5
    assert made.metadata.to_dict("list")["sex"] == ["F", "", "", "", "", ""]
    assert made.unmatched.empty


def test_written_labels_are_whole_numbers_or_empty(site):
    rows = site.patients(2)
    rows[0]["nodule"] = rows[1]["nodule"] = "-1"
    site.table("labels.csv", rows)
    write_table(site.build().volumes, site.folder / "manifest.tsv")
    lines = (site.folder / "manifest.tsv").read_text().splitlines()
    assert [line.split("\t")[-2] for line in lines] == ["nodule", "", "", "0", "0"]


def damaged_site(site):
    rows = site.patients(20)
    rows += [rows[0]]  # repeated
    rows += [{"VolumeName": "train_90_a_1.nii.gz", "nodule": 1, "effusion": 0}]  # no file
    rows += [{"VolumeName": "train_91_a_1.nii.gz", "nodule": "", "effusion": "-1"}]  # nothing known
    site.volume("train_91_a_1.nii.gz")
    site.volume("train_92_a_1.nii.gz")  # not in the tables
    site.volume("second/train_2_a_1.nii.gz")  # there already
    (site.folder / "heads.txt").write_text("train/train_3/train_3_a_1.nii.gz\n\ntrain_3_a_2\n")
    site.table("labels.csv", rows)
    return {"exclude": [str(site.folder / "heads.txt")], "max_excluded_fraction": 0.1}


def test_what_is_left_out_is_named(site):
    made = site.build(**damaged_site(site))
    expected = {"train_1_a_1": "duplicate_rows", "train_90_a_1": "no_volume", "train_91_a_1": "no_labels"}
    expected |= {"train_92_a_1": "no_labels", "train_2_a_1": "several_files"}
    expected |= {"train_3_a_1": "listed", "train_3_a_2": "listed"}
    assert reasons(made) == expected
    kept = set(made.volumes["volume"])
    assert kept & expected.keys() == {"train_1_a_1"}
    assert len(kept) == 37


@pytest.mark.parametrize(
    "key, told",
    [
        ("duplicate_rows", "train_1_a_1: is in the label tables more than once"),
        ("missing_labels", "train_91_a_1: has no known label"),
        ("missing_volumes", "train_90_a_1: has labels and no file"),
    ],
)
def test_or_stops_the_run(site, key, told):
    with pytest.raises(TableError, match=told) as caught:
        site.build(**damaged_site(site), **{key: "stop"})
    assert f"cohort.{key}" in str(caught.value)


def test_too_many_left_out(site):
    rows = site.patients(8)
    rows += [{"VolumeName": f"train_9{n}_a_1", "nodule": 1, "effusion": 0} for n in range(4)]
    site.table("labels.csv", rows)
    with pytest.raises(TableError, match=r"4 of 20 volumes \(20.0%\) are left out: 4 no_volume; first train_90_a_1"):
        site.build(max_excluded_fraction=0.19)
    assert len(site.build(max_excluded_fraction=0.2).volumes) == 16
    allowed = site.build(missing_volumes="allow")
    assert len(allowed.volumes) == 16
    assert set(reasons(allowed).values()) == {"no_volume"}


@pytest.mark.parametrize("of", ["rows", "reconstructions"])
def test_contradicting_labels(site, of):
    rows = site.patients(30)
    if of == "rows":
        rows.append(rows[0] | {"nodule": 1 - rows[0]["nodule"]})
    else:
        rows[1]["nodule"] = 1 - rows[1]["nodule"]
    site.table("labels.csv", rows)
    with pytest.raises(TableError, match=r"cohort\.label_conflicts"):
        site.build()
    found = reasons(site.build(label_conflicts="exclude"))
    lost = ["train_1_a_1"] if of == "rows" else ["train_1_a_1", "train_1_a_2"]
    assert found == dict.fromkeys(lost, "label_conflict")


def test_unknown_contradicts_nothing(site):
    rows = site.patients(2)
    rows[0]["nodule"] = "-1"
    site.table("labels.csv", rows)
    assert len(site.build().volumes) == 4


def test_metadata_from_several_tables(site):
    site.table("labels.csv", site.patients(30))
    names = [f"train_{number}_a_1" for number in (1, 2, 3)]
    first = site.table("m1.csv", [{"VolumeName": name, "sex": "F", "age": ""} for name in names])
    second = site.table("m2.csv", [{"VolumeName": name, "age": "040Y", "ZSpacing": "2"} for name in names])
    third = site.table("m3.csv", [{"VolumeName": names[0], "sex": "M"}, {"VolumeName": names[1], "sex": "F"}])
    asked = {"sex": "sex", "age": "age"}
    made = site.build(metadata=[first, second], subgroups=asked)
    assert made.metadata.set_index("volume").loc[names, ["sex", "age"]].to_numpy().tolist() == [["F", "040Y"]] * 3
    made = site.build(metadata=[first, second, third], subgroups=asked)
    assert reasons(made) == {names[0]: "metadata_conflict"}


def test_facts_that_are_no_numbers_are_not_used(site):
    site.table("labels.csv", site.patients(2))
    values = [("1.5", "0.7"), ("", "[0.7; 0.8]"), ("-2", "0.5\\0.6"), ("N/A", "[a, b]")]
    names = ["train_1_a_1", "train_1_a_2", "train_2_a_1", "train_2_a_2"]
    rows = [{"VolumeName": n, "ZSpacing": z, "XYSpacing": xy} for n, (z, xy) in zip(names, values, strict=True)]
    made = site.build(metadata=[site.table("m.csv", rows)]).volumes
    found = made[["spacing_z", "spacing_y", "spacing_x"]].astype(object).where(made["spacing_y"].notna(), None)
    assert found["spacing_y"].tolist() == [0.7, 0.7, 0.5, None]
    assert found["spacing_x"].tolist() == [0.7, 0.8, 0.6, None]
    assert made["spacing_z"].notna().tolist() == [True, False, False, False]


def test_the_patient_number_alone_is_no_patient(site):
    rows = []
    for part in ("train", "valid"):
        site.volume(f"{part}_7_a_1.nii.gz")
        rows.append({"VolumeName": f"{part}_7_a_1", "nodule": 1, "effusion": 0})
    site.table("labels.csv", rows)
    assert site.build().volumes["patient"].tolist() == ["train_7", "valid_7"]


def test_patients_and_scans_from_columns(site):
    rows = []
    for name, patient, scan in (("x1", "1", "a"), ("x2", "1", "a"), ("x3", "2", "a"), ("x4", "2", "")):
        site.volume(f"{name}.nii.gz")
        rows.append({"VolumeName": name, "nodule": 1, "effusion": 0, "pid": patient, "sid": scan})
    site.table("labels.csv", rows)
    made = site.build(patient_column="pid", scan_column="sid").volumes
    assert made["patient"].tolist() == ["1", "1", "2", "2"]
    assert made["scan"].tolist() == ["1/a", "1/a", "2/a", "2/x4"]
    assert site.build(patient_column="pid").volumes["scan"].nunique() == 4
    rows[2]["pid"] = " "
    site.table("labels.csv", rows)
    with pytest.raises(TableError, match="x3: has no patient"):
        site.build(patient_column="pid")


def test_a_name_that_the_pattern_does_not_know(site):
    site.volume("scan17.nii.gz")
    site.table("labels.csv", [{"VolumeName": "scan17", "nodule": 1, "effusion": 0}])
    with pytest.raises(TableError, match=r"scan17: does not match cohort\.volume_pattern"):
        site.build()


def test_a_file_that_cannot_be_identified_is_left_out(site):
    rows = site.patients(20)
    (site.volumes / "train_90_a_1").mkdir()
    rows.append({"VolumeName": "train_90_a_1", "nodule": 1, "effusion": 0})
    site.table("labels.csv", rows)
    assert reasons(site.build(path="{volume}")) == {"train_90_a_1": "empty"}


def test_a_label_without_a_positive_stops_before_a_voxel_is_read(site):
    rows = [row | {"effusion": 0} for row in site.patients(20)]
    site.table("labels.csv", rows)
    with pytest.raises(TableError, match="effusion has no positive in the train split"):
        site.build(split={"require_positives": ["train"]})


def test_only_the_folds_that_are_trained_need_positives(site):
    rows = [row | {"effusion": int("_1_" in row["VolumeName"])} for row in site.patients(20)]
    site.table("labels.csv", rows)
    block = {"fractions": {"train": 0.9, "test": 0.1}, "folds": 3, "require_positives": ["val"]}
    with pytest.raises(
        TableError, match=r"no positive in the val split \(\d+ volumes\), where it is fold \d; lower split"
    ):
        site.build(split=block)
    made = site.build(split=block | {"require_positives": []}).volumes
    (fold,) = made.loc[made["effusion"] == 1, "split"].unique()
    site.build(split=block | {"fold": int(fold)})


def test_a_test_set_only(site):
    site.table("labels.csv", site.patients(5))
    made = site.build(split={"fractions": {"test": 1.0}, "require_positives": ["test"]})
    assert set(made.volumes["split"]) == {"test"}


def test_no_volume_falls_between_shards(site):
    site.table("labels.csv", site.patients(10))
    with pytest.raises(ConfigError, match=r"cohort\.shards"):
        write_shards(site.build(shards=16), site.folder / "shards", 2)


def test_a_second_run_changes_only_the_shards_of_what_is_new_or_changed(site):
    site.table("labels.csv", site.patients(10))
    first = site.build(shards=8)
    write_shards(first, site.folder / "shards", 8)
    times = {path.name: path.stat().st_mtime_ns for path in (site.folder / "shards").iterdir()}
    assert len(times) == 8
    again = site.build(shards=8)
    assert again.volumes.equals(first.volumes)
    site.volume("train_4_a_2.nii.gz", "other content")
    site.table("labels.csv", site.patients(1, start=11) + [row for n in range(1, 11) for row in label_rows(n)])
    third = site.build(shards=8)
    write_shards(third, site.folder / "shards", 8)
    changed = {p.name for p in (site.folder / "shards").iterdir() if p.stat().st_mtime_ns != times[p.name]}
    assert changed == {
        f"{third.volumes.set_index('volume')['shard'][name]}.tsv" for name in ("train_11_a_1", "train_4_a_2")
    }
    earlier = first.volumes.set_index("volume")["split"]
    assert third.volumes.set_index("volume")["split"][earlier.index].equals(earlier)


def label_rows(number):
    labels = {"nodule": number % 2, "effusion": number // 2 % 2}
    return [{"VolumeName": f"train_{number}_a_{recon}.nii.gz"} | labels for recon in (1, 2)]


def test_the_order_of_rows_means_nothing(site):
    rows = site.patients(12)
    site.table("labels.csv", rows)
    first = site.build()
    for leftover in site.cache.parent.iterdir():
        leftover.unlink()
    site.table("labels.csv", rows[::-1])
    assert site.build().volumes.equals(first.volumes)
