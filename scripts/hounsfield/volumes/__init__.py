"""Volumes: reading, HU, geometry, the store."""

from hounsfield.volumes.read import read_volume
from hounsfield.volumes.volume import Volume, VolumeError

__all__ = ["Volume", "VolumeError", "read_volume"]
