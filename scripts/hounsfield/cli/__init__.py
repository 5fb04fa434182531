"""The commands beside the workflow, one a module."""
