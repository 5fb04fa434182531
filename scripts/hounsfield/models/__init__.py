"""Networks: one architecture a file; `create_model` finds it by name."""

from hounsfield.models.create import create_model

__all__ = ["create_model"]
