"""Real DICOM: a series of an archive, and one slice in fifteen transfer syntaxes."""

from pathlib import Path

import numpy as np
import pydicom
import pytest

from hounsfield.volumes import VolumeError, read_volume

DATA = Path(__file__).parents[2].parent / "shared/data"
NO_DECODER = ("JPEGProcess6_8", "JPEGProcess10_12")


@pytest.mark.skipif(not (DATA / "dicom-series").is_dir(), reason="real CT (shared/data/dicom-series) is not here")
def test_a_real_series_has_the_spacing_of_its_positions():
    volume = read_volume(DATA / "dicom-series")
    assert volume.hu.shape == (20, 512, 512) and volume.hu.dtype == np.int16
    np.testing.assert_allclose(volume.spacing, (2, 0.9765625, 0.9765625))
    first = pydicom.dcmread(min((DATA / "dicom-series").iterdir()))
    np.testing.assert_array_equal(volume.hu[-1], first.pixel_array.astype(int) - 1024)


@pytest.mark.skipif(not (DATA / "transfer-syntaxes").is_dir(), reason="shared/data/transfer-syntaxes is not here")
def test_real_slices_in_every_transfer_syntax(tmp_path):
    """Lossless ones to the bit, lossy ones within their loss, with their blurred padding as air."""
    expected = None
    for number, file in enumerate(sorted((DATA / "transfer-syntaxes").glob("*TransferSyntax*"), reverse=True)):
        folder = tmp_path / str(number)
        folder.mkdir()
        data = pydicom.dcmread(file)
        for index in range(3):
            data.ImagePositionPatient[2] = 5 + 2 * index
            data.save_as(folder / f"{index}.dcm")
        if any(name in file.name for name in NO_DECODER):
            with pytest.raises(VolumeError) as error:
                read_volume(folder)
            assert error.value.reason == "cannot_decode"
            continue
        hu = read_volume(folder).hu[1]
        expected = hu if expected is None else expected
        lossy = {"JPEG2000TransferSyntax": 5, "JPEGLSLossy": 1, "JPEGProcess1Tr": 120, "JPEGProcess2_4": 40}
        loss = next((hu for name, hu in lossy.items() if name in file.name), 0)
        inside = expected > -900
        assert np.abs(hu.astype(float) - expected)[inside].max() <= loss, file.name
