"""NIfTI from anywhere: the right HU in the right place, or a reason."""

import gzip
import itertools

import nibabel
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from hounsfield.volumes import VolumeError, read_volume
from hounsfield.volumes.geometry import to_lps_zyx

SPACING_ZYX = (3.0, 0.8, 0.7)
ORIGIN_LPS = np.array([11.0, -7.0, 5.0])


def lps_affine():
    """Index (z, y, x) of the chest to LPS+ mm."""
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0, 0, 0.7], [0, 0.8, 0], [3.0, 0, 0]])
    affine[:3, 3] = ORIGIN_LPS
    return affine


def as_nifti(chest, axes=(2, 1, 0), flips=(False, False, False)):
    """The chest with its axes in another order and direction, and the affine (RAS+) that says so."""
    array, affine = chest, lps_affine()
    for axis, flip in enumerate(flips):
        if flip:
            turn = np.eye(4)
            turn[axis, axis], turn[axis, 3] = -1, array.shape[axis] - 1
            array, affine = np.flip(array, axis), affine @ turn
    order = np.eye(4)[:, [*axes, 3]]
    return np.ascontiguousarray(array.transpose(axes)), np.diag([-1.0, -1, 1, 1]) @ affine @ order


def save(path, array, affine, kind=nibabel.Nifti1Image, **header):
    image = kind(array, affine)
    image.set_sform(affine, header.pop("sform", 1))
    image.set_qform(affine if header.get("qform", 1) else None, header.pop("qform", 1))
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("flips", list(itertools.product([False, True], repeat=3)))
def test_all_48_orientations_become_one(tmp_path, chest, axes, flips):
    volume = read_volume(save(tmp_path / "scan.nii.gz", *as_nifti(chest, axes, flips)))
    np.testing.assert_array_equal(volume.hu, chest)
    np.testing.assert_allclose(volume.affine, lps_affine(), atol=1e-5)
    np.testing.assert_allclose(volume.spacing, SPACING_ZYX, rtol=1e-6)
    assert volume.hu.dtype == np.int16 and volume.hu_source == "header"


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32, np.float64, ">i2", ">f4"])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_every_type_and_both_versions_hold_the_same(tmp_path, chest, dtype, kind):
    array, affine = as_nifti(chest)
    array = array.astype(dtype)
    image = kind(array, affine, kind.header_class(endianness=">" if array.dtype.byteorder == ">" else "<"))
    nibabel.save(image, tmp_path / "scan.nii")
    np.testing.assert_array_equal(read_volume(tmp_path / "scan.nii").hu, chest)


def test_the_headers_rescale_is_applied_once(tmp_path, chest):
    array, affine = as_nifti(chest)
    image = nibabel.Nifti1Image((array + 1024).astype(np.uint16), affine)
    image.header.set_slope_inter(1, -1024)
    nibabel.save(image, tmp_path / "scan.nii.gz")
    np.testing.assert_array_equal(read_volume(tmp_path / "scan.nii.gz").hu, chest)


def test_a_rescale_of_nan_is_none(tmp_path, chest):
    path = save(tmp_path / "scan.nii", *as_nifti(chest))
    content = bytearray(path.read_bytes())
    content[112:120] = np.array([np.nan, np.nan], "<f4").tobytes()
    path.write_bytes(content)
    np.testing.assert_array_equal(read_volume(path).hu, chest)


@pytest.mark.parametrize("codes", [(1, 0), (0, 1), (2, 3)])
def test_sform_and_qform_alone_or_together(tmp_path, chest, codes):
    array, affine = as_nifti(chest)
    path = save(tmp_path / "scan.nii.gz", array, affine, sform=codes[0], qform=codes[1])
    np.testing.assert_allclose(read_volume(path).affine, lps_affine(), atol=1e-4)


@pytest.mark.parametrize("padding", [-2000, -3024, np.nan])
def test_padding_outside_the_field_of_view_is_air(tmp_path, chest, padding):
    array, affine = as_nifti(chest.astype(np.float32))
    array[0] = padding
    expected = chest.copy()
    expected[:, :, 0] = -1000
    np.testing.assert_array_equal(read_volume(save(tmp_path / "scan.nii.gz", array, affine)).hu, expected)


def test_a_name_does_not_decide_whether_it_is_compressed(tmp_path, chest):
    path = save(tmp_path / "scan.nii.gz", *as_nifti(chest))
    (tmp_path / "other.nii").write_bytes(path.read_bytes())
    (tmp_path / "plain.nii.gz").write_bytes(gzip.decompress(path.read_bytes()))
    for name in ("other.nii", "plain.nii.gz"):
        np.testing.assert_array_equal(read_volume(tmp_path / name).hu, chest)


def test_one_frame_of_four_dimensions_is_a_volume(tmp_path, chest):
    array, affine = as_nifti(chest)
    np.testing.assert_array_equal(read_volume(save(tmp_path / "s.nii", array[..., None], affine)).hu, chest)


def test_a_table_gives_the_spacing_that_an_identity_affine_lacks(tmp_path, chest):
    array, _ = as_nifti(chest)
    path = save(tmp_path / "scan.nii.gz", array, np.eye(4))
    assert read_volume(path, spacing=SPACING_ZYX).spacing == SPACING_ZYX


def test_an_identity_affine_is_no_geometry_where_a_table_gives_the_hu(tmp_path, chest):
    array, _ = as_nifti(chest)
    path = save(tmp_path / "scan.nii.gz", (array + 8192).astype(np.int16), np.eye(4))
    assert read_volume(path, rescale=(1.0, -8192.0), spacing=SPACING_ZYX).hu_source == "table"
    with pytest.raises(VolumeError) as error:
        read_volume(path, rescale=(1.0, -8192.0))
    assert error.value.reason == "no_geometry"


def test_an_array_without_geometry_lies_as_dicom_does(tmp_path, chest):
    """CT-RATE's first release: the arrays of the second, whose affine says left, posterior, superior."""
    array, affine = as_nifti(chest)
    with_geometry = read_volume(save(tmp_path / "fixed.nii.gz", array, affine))
    stored = (array + 1024).astype(np.int16)
    for name, blank in {"ras": np.eye(4), "lps": np.diag([-1.0, -1, 1, 1])}.items():
        path = save(tmp_path / f"{name}.nii.gz", stored, blank)
        volume = read_volume(path, rescale=(1.0, -1024.0), spacing=SPACING_ZYX)
        np.testing.assert_array_equal(volume.hu, with_geometry.hu)
        np.testing.assert_allclose(volume.affine[:3, :3], with_geometry.affine[:3, :3], atol=1e-6)


def test_a_table_does_not_overrule_a_real_affine(tmp_path, chest):
    path = save(tmp_path / "scan.nii.gz", *as_nifti(chest))
    np.testing.assert_allclose(read_volume(path, spacing=(1.0, 1.0, 1.0)).spacing, SPACING_ZYX, rtol=1e-6)
    for impossible in [(0.0, 1.0, 1.0), (1.0, np.nan, 1.0), (1.0, 1.0, -2.0)]:
        with pytest.raises(VolumeError) as error:
            read_volume(path, spacing=impossible)
        assert error.value.reason == "no_geometry"


def patch(path, changes):
    content = bytearray(path.read_bytes())
    for offset, values in changes.items():
        content[offset : offset + values.nbytes] = values.tobytes()
    path.write_bytes(content)
    return path


def test_pixdim_that_contradicts_the_sform_is_not_asked(tmp_path, chest):
    path = save(tmp_path / "scan.nii", *as_nifti(chest), qform=0)
    patch(path, {80: np.array([9, 9, 9], "<f4")})
    np.testing.assert_allclose(read_volume(path).spacing, SPACING_ZYX, rtol=1e-6)


@pytest.mark.parametrize("rows", [np.zeros(12), np.full(12, np.nan), np.eye(4)[:3].ravel()])
def test_a_good_qform_stands_in_for_an_empty_sform(tmp_path, chest, rows):
    path = save(tmp_path / "scan.nii", *as_nifti(chest))
    patch(path, {280: rows.astype("<f4")})
    np.testing.assert_allclose(read_volume(path).affine, lps_affine(), atol=1e-4)


@pytest.mark.parametrize(("code", "mm"), [(0, 1.0), (1, 1000.0), (2, 1.0), (3, 0.001)])
def test_units_are_heeded(tmp_path, chest, code, mm):
    array, affine = as_nifti(chest)
    affine[:3] /= mm
    path = patch(save(tmp_path / "scan.nii", array, affine), {123: np.array([code], "u1")})
    np.testing.assert_allclose(read_volume(path).affine, lps_affine(), rtol=1e-4)


@given(
    angles=st.tuples(*[st.floats(-40, 40)] * 3),
    shear=st.floats(-0.4, 0.4),
    axes=st.permutations(range(3)),
    flips=st.tuples(*[st.booleans()] * 3),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # the chest is the same each time
def test_oblique_and_sheared_volumes_keep_every_corner(chest, angles, shear, axes, flips):
    """Each voxel stays where it was in the patient, whichever axis and direction it was stored along."""
    affine = np.eye(4)
    turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    affine[:3, :3] = turn @ np.array([[1, 0, 0], [0, 1, shear], [0, 0, 1]]) @ np.diag([0.7, 0.8, 3.0])
    affine[:3, 3] = ORIGIN_LPS
    lps, ras = np.diag([-1.0, -1, 1, 1]), affine
    array = chest[:5, :6, :7].transpose(2, 1, 0)
    for axis, flip in enumerate(flips):
        if flip:
            mirror = np.eye(4)
            mirror[axis, axis], mirror[axis, 3] = -1, array.shape[axis] - 1
            array, ras = np.flip(array, axis), ras @ mirror
    array, ras = array.transpose(axes), ras @ np.eye(4)[:, [*axes, 3]]
    view, turned = to_lps_zyx(array, ras)
    for index in itertools.product(*[(0, n - 1) for n in view.shape]):
        stored = np.linalg.solve(ras, lps @ turned @ [*index, 1])[:3]
        assert view[index] == array[tuple(np.rint(stored).astype(int))]
        np.testing.assert_allclose(stored, np.rint(stored), atol=1e-6)
    steps = turned[:3, :3] / np.linalg.norm(turned[:3, :3], axis=0)
    assert (np.diag(steps[::-1]) > 0).all(), "z, y and x run to superior, posterior and left"


REFUSED = {
    "several_frames": lambda array: np.stack([array, array], axis=-1),
    "one_slice": lambda array: array[:, :, :1],
    "constant": lambda array: np.full_like(array, -1000),
    "infinite": lambda array: np.where(array > 1000, np.inf, array).astype(np.float32),
    "not_hu": lambda array: (array + 1024).clip(0).astype(np.int16),
    "windowed": lambda array: np.interp(array, (-1000, 400), (0, 255)).astype(np.uint8),
    "rgb": lambda array: np.zeros(array.shape, [("R", "u1"), ("G", "u1"), ("B", "u1")]),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_is_no_ct_in_hu_is_refused(tmp_path, chest, reason):
    array, affine = as_nifti(chest)
    nibabel.save(nibabel.Nifti1Image(REFUSED[reason](array), affine), tmp_path / "scan.nii.gz")
    with pytest.raises(VolumeError) as error:
        read_volume(tmp_path / "scan.nii.gz")
    assert error.value.reason == reason
    assert "scan.nii.gz" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_cut_file_is_never_half_read(tmp_path, chest, share, suffix):
    path = save(tmp_path / f"scan{suffix}", *as_nifti(chest))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(VolumeError) as error:
        read_volume(path)
    assert error.value.reason in ("empty", "truncated", "not_an_image")


def test_a_bad_checksum_is_found(tmp_path, chest):
    path = save(tmp_path / "scan.nii.gz", *as_nifti(chest))
    content = bytearray(path.read_bytes())
    content[-6] ^= 1
    path.write_bytes(content)
    with pytest.raises(VolumeError) as error:
        read_volume(path)
    assert error.value.reason == "bad_checksum"


def test_a_web_page_a_missing_file_and_no_geometry_are_named(tmp_path, chest):
    (tmp_path / "page.nii.gz").write_bytes(b"<!doctype html><title>404</title>")
    array, affine = as_nifti(chest)
    save(tmp_path / "nowhere.nii.gz", array, affine, sform=0, qform=0)
    for name, reason in {"page": "not_an_image", "absent": "missing", "nowhere": "no_geometry"}.items():
        with pytest.raises(VolumeError) as error:
            read_volume(tmp_path / f"{name}.nii.gz")
        assert error.value.reason == reason


@given(st.lists(st.tuples(st.integers(0, 351), st.integers(0, 255)), min_size=1, max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # the chest is the same each time
def test_a_damaged_header_is_a_volume_or_a_reason(tmp_path, chest, changes):
    path = save(tmp_path / "scan.nii", *as_nifti(chest))
    patch(path, {offset: np.array([value], "u1") for offset, value in changes})
    try:
        assert np.isfinite(read_volume(path).affine).all()
    except VolumeError as error:
        assert "\n" not in str(error)
