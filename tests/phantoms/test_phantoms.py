"""The phantom cohort: real files, honest tables, and nothing but a finding that tells of the finding."""

import gzip
from dataclasses import replace
from itertools import pairwise

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hounsfield.errors import ConfigError, HounsfieldError
from hounsfield.phantoms.anatomy import LARGEST_HEART, draw_anatomy
from hounsfield.phantoms.canvas import Canvas
from hounsfield.phantoms.cohort import STREAMS, paint_scan, plan_cohort, write_phantoms
from hounsfield.phantoms.findings import PREVALENCES
from hounsfield.phantoms.scanner import Position, Reconstruction, draw_position, draw_reconstruction, to_nifti

PATIENTS, SCANS, SEED = 6, 9, 3
FINDINGS = list(PREVALENCES)
ABSENT = dict.fromkeys(FINDINGS, 0)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(folder, PATIENTS, SCANS, SEED, workers=2)
    return folder


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def stream(name, *key):
    return np.random.default_rng(np.random.SeedSequence(SEED, spawn_key=(STREAMS[name], *key)))


def chest(patient, rank=0):
    return draw_anatomy(stream("chest", patient), stream("breath", patient, rank))


def changed_by(finding, patient, others=ABSENT):
    """Where a finding changes a scan's HU, with the painted canvas and the healthy one."""
    scan = replace(plan_cohort(20, 20, SEED)[patient - 1], labels=dict(others) | {finding: 0})
    healthy = paint_scan(scan, 1, SEED)[0]
    ill = paint_scan(replace(scan, labels=scan.labels | {finding: 1}), 1, SEED)[0]
    return np.abs(ill.hu - healthy.hu) > 1e-2, ill, healthy


def test_the_tables_list_exactly_the_files(cohort):
    labels, metadata = pd.read_csv(cohort / "labels.csv"), pd.read_csv(cohort / "metadata.csv")
    names = sorted(path.name for path in (cohort / "volumes").iterdir())
    assert sorted(labels.VolumeName) == sorted(metadata.VolumeName) == names
    assert list(labels.columns) == ["VolumeName", *FINDINGS]
    assert set(np.unique(labels[FINDINGS])) <= {0, 1}
    assert labels.VolumeName.str.fullmatch(r"train_\d+_[a-z]_\d\.nii\.gz").all()
    parts = labels.VolumeName.str.extract(r"(train_\d+)_([a-z])")
    assert parts[0].nunique() == PATIENTS
    assert len(parts.drop_duplicates()) == SCANS


def test_reconstructions_share_labels_and_differ_in_grid_or_kernel():
    scans = [scan for scan in plan_cohort(60, 90, SEED) if scan.reconstructions == 2]
    assert scans
    first, second = (paint_scan(scans[0], number, SEED) for number in (1, 2))
    assert first[1] == second[1]
    assert first[2] != second[2]


def test_headers_agree_with_the_metadata(cohort):
    for row in pd.read_csv(cohort / "metadata.csv").itertuples():
        image = nib.load(cohort / "volumes" / row.VolumeName)
        assert image.get_data_dtype() == np.int16
        assert image.header.get_xyzt_units()[0] == "mm"
        np.testing.assert_allclose(image.get_qform(), image.get_sform(), atol=1e-3)
        turned = nib.as_closest_canonical(image)
        pixel = float(row.XYSpacing.strip("[]").split(",")[0])
        np.testing.assert_allclose(turned.header.get_zooms(), (pixel, pixel, row.ZSpacing), rtol=1e-5)
        assert turned.shape == (row.Columns, row.Rows, row.NumberofSlices)


def test_files_hold_hounsfield_units(cohort):
    for path in (cohort / "volumes").iterdir():
        hu = np.asarray(nib.load(path).dataobj)
        assert hu.min() >= -1024
        assert -1030 < np.median(hu[hu < -950]) < -970
        assert (hu > 0).mean() > 0.05


@pytest.mark.parametrize("orientation", ["LPS", "RAS", "LAS", "RPS", "LPI", "SAR"])
@pytest.mark.parametrize("tilt", [(0.0, 0.0, 0.0), (0.05, -0.03, 0.06)])
def test_every_orientation_keeps_each_voxel_at_its_place(orientation, tilt):
    position = Position((0, 0), 20, 20, 0, orientation, (12.0, -40.0, 7.0), tilt)
    reconstruction = Reconstruction(2.0, 5.0, 340.0, False, 10.0, 1.0)
    hu = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
    plain = to_nifti(hu, replace(position, orientation="LPS"), reconstruction)
    image = to_nifti(hu, position, reconstruction)
    assert "".join(nib.aff2axcodes(image.affine)) == orientation
    for value in (0, 17, 64, 119):
        voxels = [np.argwhere(np.asarray(i.dataobj) == value)[0] for i in (plain, image)]
        points = [nib.affines.apply_affine(i.affine, v) for i, v in zip((plain, image), voxels, strict=True)]
        np.testing.assert_allclose(*points, atol=1e-4)


@pytest.mark.parametrize("patient", range(1, 7))
def test_the_heart_is_left_and_the_spine_behind(patient):
    """Read through the header alone, so that a mirrored volume would fail."""
    scan = replace(plan_cohort(6, 6, SEED)[patient - 1], labels=ABSENT)
    canvas, position, grid = paint_scan(scan, 1, SEED)
    image = nib.as_closest_canonical(to_nifti(canvas.hu.astype(np.int16), position, grid))
    # Axes now grow to the right, the front and the head; the chest's middle is at `offset` LPS mm from the grid's.
    hu = np.asarray(image.dataobj)
    middle = round((hu.shape[0] - 1) / 2 + position.offset[0] / grid.pixel)
    slab = hu[middle - 2 : middle + 3]
    bright = np.argwhere(slab > 130)[:, 1]
    assert (bright < hu.shape[1] / 2).mean() > 0.6
    heart = np.abs(canvas.z - chest(patient).heart_middle(1.0)[2]) < 15
    lung = (hu[..., heart] < -500) & (hu[..., heart] > -900)
    assert lung[middle:].sum() > 1.1 * lung[:middle].sum()


def test_the_same_seed_gives_the_same_bytes_whatever_the_workers(cohort, tmp_path):
    write_phantoms(tmp_path, PATIENTS, SCANS, SEED, workers=1)
    assert contents(tmp_path) == contents(cohort)


def test_another_seed_gives_other_chests():
    first, second = (paint_scan(plan_cohort(2, 2, seed)[0], 1, seed)[0] for seed in (0, 1))
    assert first.hu.shape != second.hu.shape or not np.array_equal(first.hu, second.hu)


def test_a_file_that_cannot_be_written_leaves_no_tables(tmp_path, monkeypatch):
    def fail(data, **options):
        raise OSError("disk full")

    monkeypatch.setattr(gzip, "compress", fail)
    with pytest.raises(OSError, match="disk full"):
        write_phantoms(tmp_path, 2, 2, SEED)
    assert contents(tmp_path) == {}


def test_a_folder_with_other_volumes_is_refused(tmp_path):
    (tmp_path / "volumes").mkdir()
    (tmp_path / "volumes" / "mine.nii.gz").write_bytes(b"")
    with pytest.raises(HounsfieldError, match=r"mine\.nii\.gz"):
        write_phantoms(tmp_path, 2, 2, SEED)


@pytest.mark.parametrize(("patients", "scans"), [(0, 0), (3, 2), (1, 27)])
def test_impossible_counts_are_refused(patients, scans):
    with pytest.raises(ConfigError, match=f"{scans} scans of {patients} patients"):
        plan_cohort(patients, scans, SEED)


@pytest.mark.parametrize("finding", ["Lung nodule", "Pleural effusion", "Emphysema", "Consolidation"])
@pytest.mark.parametrize("patient", [1, 2, 3])
def test_a_finding_of_the_lung_changes_the_lung_alone(finding, patient):
    changed, ill, _ = changed_by(finding, patient)
    outside = chest(patient).lung_distance(*ill.coordinates(), 1.0) > ill.soft / 2
    assert changed.any()
    assert not (changed & outside).any()


@pytest.mark.parametrize("finding", ["Cardiomegaly", "Coronary artery wall calcification"])
@pytest.mark.parametrize("patient", [1, 2, 3])
def test_a_finding_of_the_heart_changes_its_surroundings_alone(finding, patient):
    changed, ill, _ = changed_by(finding, patient)
    reach = LARGEST_HEART if finding == "Cardiomegaly" else 1.0
    away = chest(patient).heart_distance(*ill.coordinates(), reach) > 12
    assert changed.any()
    assert not (changed & away).any()


def test_findings_look_as_their_names_say():
    for patient in range(1, 6):
        for finding, sign in (("Lung nodule", 1), ("Pleural effusion", 1), ("Consolidation", 1), ("Emphysema", -1)):
            changed, ill, healthy = changed_by(finding, patient)
            change = (ill.hu - healthy.hu)[changed]
            assert np.sign(change.mean()) == sign
        changed, ill, _ = changed_by("Coronary artery wall calcification", patient)
        assert ill.hu[changed].max() > 250


def test_fluid_gathers_behind():
    for patient in range(1, 6):
        changed, ill, _ = changed_by("Pleural effusion", patient)
        lung = chest(patient).lung_distance(*ill.coordinates(), 1.0) < 0
        depth = np.broadcast_to(ill.y[:, None], changed.shape)
        assert depth[changed].mean() > depth[lung].mean() + 15


def test_one_finding_does_not_move_another():
    """The nodules' place is the same with and without coronary calcium."""
    alone, ill, _ = changed_by("Lung nodule", 4)
    beside, _, _ = changed_by("Lung nodule", 4, ABSENT | {"Coronary artery wall calcification": 1})
    # Calcium may cover a nodule's edge, and uncovers none.
    assert not (beside & ~alone).any()
    assert beside.sum() > 0.95 * alone.sum()
    assert isinstance(ill, Canvas)


def test_findings_come_at_their_rates_and_apart_from_each_other():
    labels = pd.DataFrame([scan.labels for scan in plan_cohort(3000, 3000, SEED)])
    for finding, prevalence in PREVALENCES.items():
        assert 0.25 <= prevalence <= 0.45
        assert abs(labels[finding].mean() - prevalence) < 0.04
    assert np.abs(np.triu(labels.corr(), 1)).max() < 0.07


def test_a_patient_s_scans_mostly_agree():
    scans = plan_cohort(300, 600, SEED)
    pairs = [(a, b) for a, b in pairwise(scans) if a.patient == b.patient]
    agreement = np.mean([[a.labels[f] == b.labels[f] for f in FINDINGS] for a, b in pairs])
    assert 0.65 < agreement < 0.97


def test_nothing_about_the_file_tells_the_label():
    """A regression on what a header shows stays at chance; 1500 scans of one each make the bound 4 errors wide."""
    scans = plan_cohort(1500, 1500, SEED)
    rows = []
    for order, scan in enumerate(scans):
        key = (scan.patient, scan.rank)
        position = draw_position(stream("position", *key))
        grid = draw_reconstruction(stream("image", *key, 1))
        person = stream("person", scan.patient)
        about_scan = [position.scanner, position.below, position.above, order, scan.reconstructions]
        about_person = [person.integers(2), person.integers(25, 88)]
        rows.append([grid.pixel, grid.slice, grid.field, grid.noise, grid.sharp, *about_scan, *about_person])
    features = np.array(rows, float)
    groups = [scan.patient for scan in scans]
    model = make_pipeline(StandardScaler(), LogisticRegression())
    for finding in FINDINGS:
        labels = [scan.labels[finding] for scan in scans]
        scores = cross_val_predict(model, features, labels, groups=groups, cv=GroupKFold(5), method="decision_function")
        assert abs(roc_auc_score(labels, scores) - 0.5) < 0.065
