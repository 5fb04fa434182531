"""Volumes: reading, HU, geometry, the store."""

from hounsfield.lazy import lazy_names

__getattr__, __all__ = lazy_names(__name__, {"Volume": "volume", "VolumeError": "volume", "read_volume": "read"})
