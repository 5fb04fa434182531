"""What is read of a cohort, and of whom."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hounsfield.cohort.settings import CohortSettings, SplitSettings
from hounsfield.errors import TableError
from hounsfield.planning.facts import needed_extent, read_manifest, survey
from hounsfield.tables import write_table
from hounsfield.volumes.volume import Volume

PATHOLOGIES = ("nodule", "effusion")
SPACING = (6.0, 5.0, 5.0)


def volume(hu, spacing=SPACING):
    return Volume(hu, spacing, np.diag([*spacing, 1.0]))


def manifest_of(site):
    cohort = CohortSettings.from_config({"volumes": "volumes", "labels": ["labels.csv"], "pathologies": PATHOLOGIES})
    return read_manifest(cohort, SplitSettings.from_config({"require_positives": []}), 0, site / "results" / "site")


def test_the_view_is_about_the_scans_middle_and_leaves_the_table_out(chest):
    hu = chest(body=(10, 20, 26), shape=(24, 48, 56), at=(6, 14, 4))
    # The body runs from 36 to 96 mm of 144, from 70 to 170 of 240, from 20 to 150 of 280.
    np.testing.assert_allclose(needed_extent(volume(hu)), [72, 100, 240])


def test_a_region_cut_out_of_a_scan_counts_whole(chest):
    hu = chest(body=(4, 4, 4), shape=(8, 20, 20), at=(2, 8, 8))
    np.testing.assert_allclose(needed_extent(volume(hu)), [48, 100, 100])
    air = np.full((8, 48, 56), -1000, np.int16)
    np.testing.assert_allclose(needed_extent(volume(air)), [48, 240, 280])


def test_only_training_patients_are_read(site):
    manifest = manifest_of(site)
    for path in manifest.volumes.loc[manifest.volumes["split"] != "train", "path"]:
        Path(path).write_bytes(b"no image")
    facts = survey(manifest, PATHOLOGIES, 100, 0, 2)
    train = manifest.volumes[manifest.volumes["split"] == "train"]
    assert len(facts.spacings) == len(train) == facts.volumes["train"] and not facts.refused
    np.testing.assert_allclose(facts.spacings, [SPACING] * len(train))
    np.testing.assert_allclose(facts.extents, [[144, 240, 280]] * len(train))
    assert facts.positives == {name: int((train[name] == 1).sum()) for name in PATHOLOGIES}


def test_a_sample_is_the_same_each_time(site):
    manifest = manifest_of(site)
    several = [survey(manifest, PATHOLOGIES, 4, seed, 2).needed for seed in (0, 0, 1)]
    assert len(several[0]) == 4
    np.testing.assert_array_equal(several[0], several[1])


def test_refused_volumes_are_named_and_the_rest_goes_on(site):
    manifest = manifest_of(site)
    paths = manifest.volumes.loc[manifest.volumes["split"] == "train", "path"].tolist()
    Path(paths[0]).write_bytes(b"<html>")
    facts = survey(manifest, PATHOLOGIES, 100, 0, 2)
    assert [error.reason for error in facts.refused] == ["not_an_image"] and paths[0] in str(facts.refused[0])
    assert len(facts.spacings) == len(paths) - 1
    for path in paths:
        Path(path).write_bytes(b"<html>")
    with pytest.raises(TableError, match=r"none of \d+ sampled training volumes can be used"):
        survey(manifest, PATHOLOGIES, 100, 0, 2)


def test_the_fold_that_validates_is_not_looked_at(site):
    manifest = manifest_of(site)
    parts = np.resize(["0", "1", "2", "test"], len(manifest.volumes))
    folds = replace(manifest, volumes=manifest.volumes.assign(split=parts))
    for path in folds.volumes.loc[np.isin(parts, ["2", "test"]), "path"]:
        Path(path).write_bytes(b"no image")
    facts = survey(folds, PATHOLOGIES, 100, 0, 2, fold=2)
    assert len(facts.spacings) == np.isin(parts, ["0", "1"]).sum() and not facts.refused


def test_a_cohort_without_training_patients_cannot_be_planned(site):
    manifest = manifest_of(site)
    with pytest.raises(TableError, match="no volume is in the train split"):
        survey(replace(manifest, volumes=manifest.volumes.assign(split="test")), PATHOLOGIES, 4, 0, 2)


def test_nothing_is_written_and_a_runs_splits_are_kept(site):
    made = manifest_of(site).volumes.set_index("patient")["split"]
    assert not (site / "results").exists()
    rule = "seed 0: train 0.7, val 0.1, test 0.2"
    turned = made[::-1].set_axis(made.index)
    table = turned.rename("part").rename_axis("patient").reset_index().assign(rule=rule)
    write_table(table[["rule", "patient", "part"]], site / "results/site/cohort/splits.tsv")
    again = manifest_of(site).volumes.set_index("patient")["split"]
    assert again.to_dict() == turned.to_dict() != made.to_dict()
    assert [path.name for path in (site / "results/site/cohort").iterdir()] == ["splits.tsv"]
