"""DICOM folders as archives hold them."""

import copy

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from hounsfield.volumes import VolumeError, read_volume

STEP = 2.5
SPACING = (0.8, 0.7)


def slices_of(chest, uid="1.2.3.4"):
    """A dataset a plane, from feet to head, supine, row spacing 0.8 and column spacing 0.7 mm."""
    result = []
    for index, plane in enumerate(chest):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
        meta.MediaStorageSOPInstanceUID = generate_uid()
        data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        data.Modality, data.SeriesInstanceUID, data.InstanceNumber = "CT", uid, index + 1
        data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        data.ImagePositionPatient = [-10.0, -20.0, 100.0 + STEP * index]
        data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        data.PixelSpacing = list(SPACING)
        data.SliceThickness = 5.0
        data.Rows, data.Columns = plane.shape
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.RescaleSlope, data.RescaleIntercept = 1, -1024
        data.PixelData = (plane.astype(np.int32) + 1024).astype(np.uint16).tobytes()
        result.append(data)
    return result


def save(folder, datasets, names=None):
    folder.mkdir(exist_ok=True)
    for index, data in enumerate(datasets):
        data.save_as(folder / (names[index] if names else f"{index:03d}.dcm"), enforce_file_format=True)
    return folder


def check(volume, chest):
    np.testing.assert_allclose(volume.hu, chest, atol=1e-3)
    np.testing.assert_allclose(volume.spacing, (STEP, *SPACING), rtol=1e-6)
    np.testing.assert_allclose(volume.affine @ [0, 0, 0, 1], [-10, -20, 100, 1])
    np.testing.assert_allclose(volume.affine @ [1, 1, 1, 1], [-9.3, -19.2, 102.5, 1])


def test_a_series_is_ordered_by_place_not_by_number_or_name(tmp_path, chest):
    datasets = slices_of(chest)
    order = np.random.default_rng(0).permutation(len(datasets))
    for number, index in enumerate(order):
        datasets[index].InstanceNumber = int(number)
    check(read_volume(save(tmp_path / "s", [datasets[index] for index in order])), chest)


def test_each_slice_has_a_rescale_of_its_own(tmp_path, chest):
    datasets = slices_of(chest)
    for index, (data, plane) in enumerate(zip(datasets, chest, strict=True)):
        data.RescaleSlope, data.RescaleIntercept = 0.5, -1100 - index
        data.PixelData = ((plane.astype(np.int32) + 1100 + index) * 2).astype(np.uint16).tobytes()
    check(read_volume(save(tmp_path / "s", datasets)), chest)


def test_localizers_copies_and_other_files_are_left_out(tmp_path, chest):
    datasets = slices_of(chest)
    localizer = slices_of(chest[:1])[0]
    localizer.ImageType, localizer.ImageOrientationPatient = ["ORIGINAL", "PRIMARY", "LOCALIZER"], [1, 0, 0, 0, 0, -1]
    folder = save(tmp_path / "s", [*datasets, localizer])
    (folder / "copy.dcm").write_bytes((folder / "003.dcm").read_bytes())
    (folder / "notes.txt").write_text("notes")
    check(read_volume(folder), chest)


def test_padding_is_air(tmp_path, chest):
    datasets = slices_of(chest)
    for data in datasets:
        pixels = np.frombuffer(data.PixelData, np.uint16).reshape(data.Rows, data.Columns).copy()
        pixels[:, 0] = 63536
        data.PixelPaddingValue, data.PixelData = 63536, pixels.tobytes()
        data["PixelPaddingValue"].VR = "US"
    expected = chest.copy()
    expected[:, :, 0] = -1000
    check(read_volume(save(tmp_path / "s", datasets)), expected)


def test_monochrome1_changes_the_display_and_not_the_values(tmp_path, chest):
    datasets = slices_of(chest)
    for data in datasets:
        data.PhotometricInterpretation = "MONOCHROME1"
    check(read_volume(save(tmp_path / "s", datasets)), chest)


def test_a_tilted_gantry_shears_the_volume(tmp_path, chest):
    datasets = slices_of(chest)
    angle = np.radians(15)
    for index, data in enumerate(datasets):
        data.ImageOrientationPatient = [1, 0, 0, 0, round(np.cos(angle), 8), round(np.sin(angle), 8)]
        data.ImagePositionPatient = [0, 0, STEP * index]
    volume = read_volume(save(tmp_path / "s", datasets))
    assert not volume.axis_aligned
    np.testing.assert_allclose(volume.affine[:3, 0], [0, 0, STEP], atol=1e-6)
    np.testing.assert_allclose(volume.affine[:3, 1], 0.8 * np.array([0, np.cos(angle), np.sin(angle)]), atol=1e-6)


def test_an_enhanced_multi_frame_file_is_a_volume(tmp_path, chest):
    singles = slices_of(chest)
    enhanced = copy.deepcopy(singles[0])
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept"):
        delattr(enhanced, name)
    shared, plane, measures, rescale = Dataset(), Dataset(), Dataset(), Dataset()
    plane.ImageOrientationPatient, measures.PixelSpacing = [1, 0, 0, 0, 1, 0], list(SPACING)
    rescale.RescaleSlope, rescale.RescaleIntercept = 1, -1024
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [plane], [measures]
    shared.PixelValueTransformationSequence = [rescale]
    frames = []
    for single in singles:
        frame, position = Dataset(), Dataset()
        position.ImagePositionPatient = single.ImagePositionPatient
        frame.PlanePositionSequence = [position]
        frames.append(frame)
    enhanced.SharedFunctionalGroupsSequence, enhanced.PerFrameFunctionalGroupsSequence = [shared], frames
    enhanced.NumberOfFrames = len(frames)
    enhanced.PixelData = b"".join(single.PixelData for single in singles)
    check(read_volume(save(tmp_path / "s", [enhanced])), chest)
    check(read_volume(tmp_path / "s" / "000.dcm"), chest)


@pytest.mark.parametrize("which", [0, 5, -1])
@pytest.mark.parametrize("share", [0, 0.05, 0.3, 0.6, 0.99])
def test_a_cut_slice_is_never_left_out(tmp_path, chest, which, share):
    """At the ends of a series, nothing else would tell."""
    folder = save(tmp_path / "s", slices_of(chest))
    file = sorted(folder.iterdir())[which]
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])
    with pytest.raises(VolumeError) as error:
        read_volume(folder)
    assert error.value.reason in ("truncated", "no_position", "no_spacing", "no_rescale")
    assert file.name in str(error.value)


def test_copies_are_told_by_their_pixels_where_identifiers_are_blank(tmp_path, chest):
    datasets = slices_of(chest)
    for data in datasets:
        data.SOPInstanceUID = ""
    folder = save(tmp_path / "s", datasets)
    (folder / "copy.dcm").write_bytes((folder / "003.dcm").read_bytes())
    check(read_volume(folder), chest)
    other = copy.deepcopy(datasets[3])
    other.PixelData = datasets[4].PixelData
    other.save_as(folder / "copy.dcm", enforce_file_format=True)
    with pytest.raises(VolumeError) as error:
        read_volume(folder)
    assert error.value.reason == "duplicate_position"


def test_positions_rounded_to_a_tenth_are_even(tmp_path, chest):
    datasets = slices_of(chest)
    for index, data in enumerate(datasets):
        data.ImagePositionPatient = [-10, -20, round(100 + 0.625 * index, 1)]
    assert read_volume(save(tmp_path / "s", datasets)).spacing[0] == pytest.approx(0.625, rel=0.02)


def test_dose_screens_are_left_out(tmp_path, chest):
    screens = slices_of(chest[:2])
    for screen in screens:
        screen.ImageType = ["DERIVED", "SECONDARY", "SCREEN SAVE"]
        del screen.ImagePositionPatient
    screens[1].SamplesPerPixel, screens[1].PhotometricInterpretation = 3, "RGB"
    screens[1].PixelData *= 3
    check(read_volume(save(tmp_path / "s", [*slices_of(chest), *screens])), chest)


def test_a_table_gives_the_rescale_that_all_slices_lack(tmp_path, chest):
    datasets = slices_of(chest)
    for data in datasets:
        del data.RescaleSlope, data.RescaleIntercept
    folder = save(tmp_path / "s", datasets)
    volume = read_volume(folder, rescale=(1.0, -1024.0))
    check(volume, chest)
    assert volume.hu_source == "table"
    with pytest.raises(VolumeError):
        read_volume(folder, hu="header", rescale=(1.0, -1024.0))


def test_a_table_does_not_convert_a_series_twice(tmp_path, chest):
    volume = read_volume(save(tmp_path / "s", slices_of(chest)), rescale=(1.0, -1024.0))
    check(volume, chest)
    assert volume.hu.dtype == np.int16


def test_a_padding_tag_with_a_tissues_value_is_not_believed(tmp_path, chest):
    datasets = slices_of(chest)
    for data in datasets:
        data.add_new("PixelPaddingValue", "US", 1024 + 40)
    check(read_volume(save(tmp_path / "s", datasets)), chest)


def test_twelve_bits_with_a_sign_are_extended(tmp_path, chest):
    datasets = slices_of(chest)
    for data, plane in zip(datasets, chest, strict=True):
        data.BitsStored, data.HighBit, data.PixelRepresentation = 12, 11, 1
        data.RescaleIntercept = 0
        data.PixelData = (plane.astype(np.int32) & 0x0FFF).astype(np.uint16).tobytes()
    check(read_volume(save(tmp_path / "s", datasets)), chest)


def without(name):
    def spoil(datasets):
        for data in datasets:
            delattr(data, name)

    return spoil


def setting(name, value, which=slice(None)):
    def spoil(datasets):
        for data in datasets[which]:
            setattr(data, name, value)

    return spoil


def shorten(datasets):
    datasets[4].PixelData = datasets[4].PixelData[:100]


def crop_one(datasets):
    datasets[2].Rows, datasets[2].PixelData = 10, datasets[2].PixelData[: 10 * datasets[2].Columns * 2]


def several(*changes):
    def spoil(datasets):
        for change in changes:
            change(datasets)

    return spoil


def enhanced_without_places(datasets):
    datasets[0].NumberOfFrames = len(datasets)
    datasets[0].PixelData = b"".join(data.PixelData for data in datasets)
    del datasets[1:]


def step_aside(datasets):
    datasets[5].ImagePositionPatient = [-4, -20, 100 + 5 * STEP]


REFUSED = {
    "missing_slice": lambda datasets: datasets.pop(5),
    "missing_slice ": lambda datasets: [datasets.pop(2), datasets.pop(4), datasets.pop(6)],
    "missing_slice  ": lambda datasets: datasets.__delitem__(slice(3, 11)),
    "uneven_spacing ": step_aside,
    "no_position ": enhanced_without_places,
    "no_rescale ": lambda datasets: datasets[3].__delattr__("RescaleSlope"),
    "not_hu": setting("RescaleType", "MGML"),
    "rgb": several(setting("SamplesPerPixel", 3), setting("PhotometricInterpretation", "RGB")),
    "uneven_spacing": setting("ImagePositionPatient", [-10, -20, 100 + 3.4 * STEP], slice(3, 4)),
    "duplicate_position": setting("ImagePositionPatient", [-10, -20, 100 + 4 * STEP], slice(3, 4)),
    "several_series": setting("SeriesInstanceUID", "1.2.9", slice(0, 4)),
    "several_sizes": crop_one,
    "no_position": without("ImagePositionPatient"),
    "no_spacing": without("PixelSpacing"),
    "no_rescale": without("RescaleIntercept"),
    "not_ct": setting("Modality", "MR"),
    "one_slice": lambda datasets: datasets.__delitem__(slice(1, None)),
    "truncated": shorten,
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_cannot_be_trusted_is_refused(tmp_path, chest, reason):
    datasets = slices_of(chest)
    REFUSED[reason](datasets)
    with pytest.raises(VolumeError) as error:
        read_volume(save(tmp_path / "s", datasets))
    assert error.value.reason == reason.strip()
    assert "\n" not in str(error.value)


def test_a_folder_without_images_is_named(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(VolumeError) as error:
        read_volume(tmp_path)
    assert error.value.reason == "not_an_image"
