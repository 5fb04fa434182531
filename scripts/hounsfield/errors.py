"""Errors that a user can act on."""


class HounsfieldError(Exception):
    """Something the user can mend; its message is one line: what happened, to what, and what to do."""


class ConfigError(HounsfieldError):
    """A setting that is missing, unknown or impossible."""


class TableError(HounsfieldError):
    """A table that lacks a column, or holds a value that its column may not have."""


class CheckpointError(HounsfieldError):
    """A checkpoint that is damaged, or that belongs to something else."""


class StoreError(HounsfieldError):
    """A stored volume that is missing or damaged."""


class TrainingError(HounsfieldError):
    """Training that cannot go on."""


class ExportError(HounsfieldError):
    """A network that a format cannot take, or an export whose scores are not those of the network."""


def one_line(error: BaseException) -> str:
    """Kind and first line of an error, for a sentence."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:160]}" if lines else type(error).__name__
