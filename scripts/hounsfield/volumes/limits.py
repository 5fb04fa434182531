"""How large one volume may be, so that a hostile header or archive cannot fill the memory."""

import logging
import os
import zlib

from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian

from hounsfield.volumes.volume import VolumeError

log = logging.getLogger(__name__)

MAX_BYTES = 8 * 2**30  # of stored voxels: 1024 x 1024 x 2048 of float32
MAX_FILE_BYTES = 2**30  # of one DICOM file, unpacked
TRAILING_BYTES = 2**20  # more than this after the voxels is no padding
PIECE_BYTES = 64 * 1024
DICOM_START = 128 + 4 + 12  # preamble, magic word, the element that tells the length of the rest of the meta header


def check_size(size: int, path: str | os.PathLike) -> None:
    """Raises VolumeError if a file promises more than `MAX_BYTES` bytes of voxels."""
    if size > MAX_BYTES:
        raise VolumeError("too_large", f"it tells of {size / 2**30:.1f} GiB of voxels, more than any CT scan has", path)


def check_surplus(size: int, path: str | os.PathLike) -> None:
    """Raises VolumeError if `size` bytes or more follow the voxels that a header tells of; the log tells of fewer.

    A header that tells of fewer slices than there are looks like this.
    """
    if size >= TRAILING_BYTES:
        raise VolumeError("damaged", "it holds much more than its header tells of; fetch it again", path)
    if size > 0:
        log.warning("%s: %d bytes follow the voxels that its header tells of; they are not read", path, size)


def check_deflated(path: str | os.PathLike) -> None:
    """Raises VolumeError if a DICOM file, deflated as a whole, unpacks to more than `MAX_FILE_BYTES` bytes."""
    with open(path, "rb") as file:
        if DeflatedExplicitVRLittleEndian.encode() not in file.read(1024):
            return
        try:
            file.seek(DICOM_START + int(read_file_meta_info(path).FileMetaInformationGroupLength))
            stream, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
            while piece := file.read(PIECE_BYTES):
                size += len(stream.decompress(piece))
                if size > MAX_FILE_BYTES:
                    raise VolumeError("too_large", f"it unpacks to more than {MAX_FILE_BYTES / 2**30:.0f} GiB", path)
        except (InvalidDicomError, AttributeError, zlib.error) as error:
            raise VolumeError("damaged", f"it cannot be unpacked ({error}); fetch it again", path) from error
