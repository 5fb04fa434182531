"""Networks: one architecture a file; `create_model` finds it by name."""

from hounsfield.lazy import lazy_names

__getattr__, __all__ = lazy_names(__name__, {"create_model": "create"})
