"""The configurations that are shipped, each on a generated miniature of its dataset with that dataset's quirks."""

import csv
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
import yaml

from hounsfield.cli.main import main
from hounsfield.cohort.dataset import build_dataset
from hounsfield.cohort.manifest import build_manifest, write_shards
from hounsfield.cohort.settings import CohortSettings, SplitSettings
from hounsfield.config import check_config
from hounsfield.errors import TableError
from hounsfield.tables import read_table
from hounsfield.volumes.preprocess import preprocess_shard
from hounsfield.volumes.settings import PreprocessingSettings
from hounsfield.volumes.store import VolumeStore

PROJECT = Path(__file__).parents[2]
PREPROCESSING = PreprocessingSettings.from_config({"spacing": [2.0, 1.0, 1.0], "shape": [10, 16, 16]})
SOFT_TISSUE_HU = 40


def load(name):
    config = yaml.safe_load((PROJECT / "config" / f"{name}.yaml").read_text())
    if "label_mapping" in config["cohort"]:
        config["cohort"]["label_mapping"] = str(PROJECT / config["cohort"]["label_mapping"])
    return config


def write_csv(path, rows):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def hu_volume(seed):
    """(z, y, x) of noisy air around soft tissue with a bone, in HU; each seed another."""
    random = np.random.default_rng(seed)
    hu = np.full((10, 16, 16), -1000.0)
    hu[1:9, 2:14, 2:14] = SOFT_TISSUE_HU
    hu[3:7, 10:12, 6:10] = 700
    return np.rint(hu + random.normal(0, 8, hu.shape)).astype(np.int16)


def write_nifti(path, zyx, affine):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(zyx.transpose(2, 1, 0), affine), path)


def run(config, stop=None):
    """Manifest, its stored volumes (shard by shard) and dataset of a configuration, in the current folder."""
    cohort = CohortSettings.from_config(config["cohort"])
    split = SplitSettings.from_config(config["split"])
    manifest = build_manifest(cohort, split, 0, Path("results/splits.tsv"))
    write_shards(manifest, Path("results/shards"), cohort.shards)
    store = VolumeStore(Path("results/store"))
    tables = [read_table(path, ["volume", "path", "stamp", "hu"]) for path in Path("results/shards").iterdir()]
    stored = pd.concat([preprocess_shard(rows, store, PREPROCESSING, 1) for rows in tables if len(rows)])
    made = build_dataset(manifest.volumes, stored, manifest.unmatched, cohort, split.require_positives)
    return manifest, stored.set_index("volume"), store, made


@pytest.mark.parametrize("name", ["config", "ct-rate", "rad-chestct", "merlin"])
def test_each_ready_config_is_valid(name):
    config = load(name)
    check_config(config, yaml.safe_load((PROJECT / "workflow/schemas/config.schema.yaml").read_text()))
    CohortSettings.from_config(config["cohort"])
    SplitSettings.from_config(config["split"])


def write_ct_rate(release, pathologies):
    """Release 1: raw values, identity affine. Release 2: HU and geometry, beside release 1's metadata."""
    for split, table, patients in (("train", "train", range(1, 41)), ("valid", "validation", range(1, 11))):
        labels, metadata = [], []
        for number in patients:  # valid's numbers are other people in train
            intercept = -8192 if number % 3 == 0 else -1024
            maker = "Siemens Healthineers" if intercept == -8192 else "Philips"
            for recon in (1, 2):
                scan = f"{split}_{number}_a"
                folder = split if release == 1 else f"{split}_fixed"
                path = f"data/ct-rate/dataset/{folder}/{split}_{number}/{scan}/{scan}_{recon}.nii.gz"
                hu = hu_volume([number, recon, len(split), split == "train"])
                raw = hu - np.int16(intercept) if release == 1 else hu
                affine = np.eye(4) if release == 1 else np.diag([-1.0, -1.0, 2.0, 1.0])
                write_nifti(path, raw, affine)
                name = f"{scan}_{recon}.nii.gz"
                values = {label: int((number + place) % 2) for place, label in enumerate(pathologies)}
                labels.append({"VolumeName": name} | values)
                facts = {"RescaleSlope": 1, "RescaleIntercept": intercept, "XYSpacing": "[1.0, 1.0]", "ZSpacing": 2.0}
                person = {"PatientSex": "F", "PatientAge": "036Y", "Manufacturer": maker, "ConvolutionKernel": "B"}
                metadata.append({"VolumeName": name} | person | facts)
        if split == "train":
            metadata[7]["ZSpacing"] = ""  # as train_11755_a_4
        write_csv(f"data/ct-rate/dataset/multi_abnormality_labels/{split}_predicted_labels.csv", labels)
        write_csv(f"data/ct-rate/dataset/metadata/{table}_metadata.csv", metadata)
        heads = "train_2_a_1.nii.gz\ntrain_2_a_2.nii.gz\n" if split == "train" else ""
        Path(f"data/ct-rate/dataset/metadata/no_chest_{split}.txt").write_text(heads)


@pytest.mark.parametrize("release", [1, 2])
def test_ct_rate(tmp_path, monkeypatch, release):
    monkeypatch.chdir(tmp_path)
    config = load("ct-rate")
    if release == 1:  # the two changes that the file tells of
        config["cohort"] |= {"path": "{folder}/{patient}/{scan}/{volume}.nii.gz", "hu": "table"}
    write_ct_rate(release, config["cohort"]["pathologies"])
    manifest, stored, store, (dataset, excluded, summary) = run(config)
    assert manifest.volumes["patient"].nunique() == 49
    assert (dataset["split"].eq("test") == dataset["patient"].str.startswith("valid")).all()
    left_out = dict(zip(excluded["volume"], excluded["reason"], strict=True))
    assert left_out.pop("train_2_a_1") == left_out.pop("train_2_a_2") == "listed"
    # Without its spacing in the table, release 1 has none at all; release 2 has it in the header.
    assert left_out == ({"train_4_a_2": "no_spacing"} if release == 1 else {})
    for name, row in stored.iterrows():
        number, recon = name.split("_")[1], name.split("_")[3]
        split = name.split("_")[0]
        expected = hu_volume([int(number), int(recon), len(split), split == "train"])
        kept = store.read(row["key"])
        assert np.abs(np.median(kept[2:8, 4:9, 4:12]) - SOFT_TISSUE_HU) < 8, name
        assert sorted(kept.ravel()) == sorted(expected.ravel()), name
    assert set(summary["split"]) == {"train", "val", "test"}
    assert manifest.metadata.columns.tolist() == ["volume", *config["cohort"]["subgroups"]]


def test_ct_rate_without_its_metadata_of_release_1_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = load("ct-rate")
    config["cohort"] |= {"path": None, "hu": "header"}
    write_ct_rate(1, config["cohort"]["pathologies"])
    with pytest.raises(TableError, match=r"98 of 98 volumes .* not_hu"):
        run(config)


ABNORMALITIES = ["calcification", "cardiomegaly", "pericardial_effusion", "hernia", "lymphadenopathy", "emphysema"]
ABNORMALITIES += ["atelectasis", "nodule", "opacity", "fibrosis", "pleural_effusion", "bronchial_wall_thickening"]
ABNORMALITIES += ["consolidation", "bronchiectasis", "septal_thickening", "nodulegr1cm", "groundglass"]


def write_rad_chestct():
    metadata = []
    names = (("trn", "train", 20), ("val", "valid", 10), ("tst", "test", 10))
    for part, table, count in names:
        rows = []
        for number in range(count):
            name = f"{part}{number:05d}"
            row = {"NoteAcc_DEID": name}
            for place, abnormality in enumerate(ABNORMALITIES):
                present = (number + place) % 2
                row |= {f"{abnormality}*left_upper": 0, f"{abnormality}*right": present}
            rows.append(row)
            facts = {"VolumeAcc_DEID": f"{name}.npz", "NoteAcc_DEID": name, "MRN_DEID": f"mrn{part}{number // 2:05d}"}
            metadata.append(facts | {"orig_slope": 1, "orig_inter": -1024, "final_spacing": 0.8})
            if number < count - 2:  # the last are not public
                Path("data/rad-chestct/volumes").mkdir(parents=True, exist_ok=True)
                np.savez_compressed(f"data/rad-chestct/volumes/{name}.npz", ct=hu_volume([number, len(table)]))
        write_csv(f"data/rad-chestct/img{table}_Abnormality_and_Location_Labels.csv", rows)
    write_csv("data/rad-chestct/CT_Scan_Metadata_Complete_35747.csv", metadata)


def rad_chestct(**changes):
    config = load("rad-chestct")
    split = SplitSettings.from_config(config["split"] | changes)
    return build_manifest(CohortSettings.from_config(config["cohort"]), split, 0, Path("results/splits.tsv"))


def test_rad_chestct(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_rad_chestct()
    made = rad_chestct()
    table = made.volumes.set_index("volume")
    assert len(table) == 34
    assert made.unmatched["reason"].tolist() == ["no_volume"] * 6
    assert table.groupby("split").size().to_dict() == {"test": 8, "train": 18, "val": 8}
    assert table.loc["trn00003", "patient"] == "mrntrn00001"
    assert table[["spacing_z", "spacing_y", "spacing_x"]].eq(0.8).all(axis=None)
    assert table[["slope", "intercept"]].isna().all(axis=None)  # applied before publication
    place = ABNORMALITIES.index("nodule")
    nodules = [(number + place) % 2 for number in range(18)]
    assert table["Lung nodule"].filter(like="trn").tolist() == nodules
    assert table["Arterial wall calcification"].equals(
        table["Coronary artery wall calcification"].rename("Arterial wall calcification")
    )


def test_rad_chestct_as_a_test_set_only(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_rad_chestct()
    made = rad_chestct(values={"trn": "test", "val": "test", "tst": "test"}, require_positives=["test"])
    assert set(made.volumes["split"]) == {"test"}


def test_every_mapping_names_labels_of_ct_rate():
    known = set(load("ct-rate")["cohort"]["pathologies"])
    for path in (PROJECT / "config" / "labels").iterdir():
        mapping = yaml.safe_load(path.read_text())
        assert set(mapping["labels"]) <= known, path.name
        assert isinstance(mapping["version"], int)
    assert {label for label, of in mapping_of("rad-chestct").items() if of} == set(
        load("rad-chestct")["cohort"]["pathologies"]
    )


def mapping_of(name):
    return yaml.safe_load((PROJECT / "config" / "labels" / f"{name}-to-ct-rate.yaml").read_text())["labels"]


def write_merlin(pathologies):
    labels, reports = [], []
    for number in range(60):
        name = f"AC4{number:06x}"
        values = {label: (1, 0, -1)[(number + place) % 3] for place, label in enumerate(pathologies)}
        labels.append({"study id": name} | values)
        split = ("train", "train", "train", "val", "test")[number // 3 % 5]
        reports.append({"study id": name, "Findings": 'Liver: normal,\n\n"small" cyst.', "Split": split})
        write_nifti(f"data/merlin/merlin_data/{name}.nii.gz", hu_volume([number]), np.diag([-1.0, -1.0, 2.0, 1.0]))
    reports.append(reports[4] | {"Findings": "A second report."})
    labels.append(labels[4] | {pathologies[0]: 1 - labels[4][pathologies[0]]})  # and its labels
    write_csv("data/merlin/zero_shot_findings_disease_cls.csv", labels)
    write_csv("data/merlin/reports_final.csv", reports)


def test_merlin(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = load("merlin")
    config["cohort"]["metadata"] = ["data/merlin/reports_final.csv"]
    pathologies = config["cohort"]["pathologies"]
    write_merlin(pathologies)
    _, _, _, (dataset, excluded, summary) = run(config)
    assert excluded[["volume", "reason"]].to_numpy().tolist() == [["AC4000004", "label_conflict"]]
    assert len(dataset) == 59
    table = dataset.set_index("volume")
    assert table.loc["AC4000000", pathologies[:3]].tolist()[:2] == [1, 0]
    assert pd.isna(table.loc["AC4000000", pathologies[2]])
    row = summary.set_index(["split", "label"]).loc[("test", pathologies[0])]
    assert row[["n_positive", "n_negative", "n_unknown"]].tolist() == [4, 4, 4]
    assert row["prevalence"] == 0.5


def test_merlin_with_labels_of_ct_rate(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = load("merlin")
    write_merlin(config["cohort"]["pathologies"])
    mapped = sorted(mapping_of("merlin"))
    config["cohort"] |= {"metadata": ["data/merlin/reports_final.csv"], "pathologies": mapped}
    config["cohort"]["label_mapping"] = str(PROJECT / "config/labels/merlin-to-ct-rate.yaml")
    made = build_manifest(
        CohortSettings.from_config(config["cohort"]), SplitSettings.from_config(config["split"]), 0, "results/i.tsv"
    )
    assert made.volumes["Cardiomegaly"].isna().sum() == 20


@pytest.mark.parametrize("release", [1, 2])
def test_init_recognises_ct_rate_and_its_release(tmp_path, monkeypatch, release):
    monkeypatch.chdir(tmp_path)
    write_ct_rate(release, load("ct-rate")["cohort"]["pathologies"])
    tables = sorted(map(str, Path("data/ct-rate/dataset").rglob("*.csv")))
    tables += sorted(map(str, Path("data/ct-rate/dataset").rglob("*.txt")))
    assert main(["init", "data/ct-rate/dataset", *tables, "--output", "mine.yaml", "--yes"]) == 0
    manifest, _, _, (_, excluded, _) = run(yaml.safe_load(Path("mine.yaml").read_text()))
    assert manifest.volumes["patient"].nunique() == 49
    assert excluded["reason"].value_counts().to_dict() == {"listed": 2} | ({"no_spacing": 1} if release == 1 else {})


@pytest.mark.parametrize(
    ("name", "write", "volumes", "count"),
    [
        ("rad-chestct", write_rad_chestct, "data/rad-chestct/volumes", 34),
        ("merlin", lambda: write_merlin(load("merlin")["cohort"]["pathologies"]), "data/merlin/merlin_data", 59),
    ],
)
def test_init_recognises(name, write, volumes, count, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write()
    tables = sorted(map(str, Path("data").rglob("*.csv")))
    assert main(["init", volumes, *tables, "--output", "mine.yaml", "--yes"]) == 0
    config = yaml.safe_load(Path("mine.yaml").read_text())
    assert config["name"] == name and config["cohort"]["volumes"] == volumes
    cohort, split = CohortSettings.from_config(config["cohort"]), SplitSettings.from_config(config["split"])
    assert len(build_manifest(cohort, split, 0, Path("cache/i.tsv")).volumes) == count
