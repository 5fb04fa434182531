"""Writing files so that half of one is never taken for the whole, and folders that nobody else can write into."""

import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hounsfield.errors import HounsfieldError
from hounsfield.locks import locked, try_lock

WORKING = ".working"  # the lock of a folder that somebody is at work in


@contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success flush it to disk and rename it, else remove it.

    Raises OSError (disk full, no permission) with nothing left behind.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".partial-{secrets.token_hex(8)}")
    # Made by the kernel's rules for new files, so that a result is as readable as any other file of its folder.
    os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield partial
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(partial, target)
    except OSError as error:
        if error.errno and not error.filename:
            error.filename = str(target)  # a full disk does not say which
        raise
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def working_folder(parent: str | os.PathLike, prefix: str) -> Iterator[Path]:
    """A new folder in `parent`, named by `prefix` and chance, that is removed in the end.

    What killed processes left there under the prefix is removed at the start. Raises OSError.
    """
    parent = Path(parent).absolute()
    parent.mkdir(parents=True, exist_ok=True)
    for left in parent.glob(f"{prefix}*"):
        held = try_lock(left / WORKING) if (left / WORKING).is_file() else None
        if held is not None:  # nobody is at work there any more
            with held:
                shutil.rmtree(left)
    with tempfile.TemporaryDirectory(dir=parent, prefix=prefix) as temporary, locked(Path(temporary) / WORKING):
        yield Path(temporary)


def private_folder() -> Path:
    """A folder of this user's for temporary things that other users of the machine must not plant or change.

    Raises HounsfieldError if somebody else has made it, or could write into it.
    """
    user = os.getuid()  # a number: in a container it may have no name
    folder = Path(tempfile.gettempdir()) / f"hounsfield-{user}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()  # a link is none, wherever it leads
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != user or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise HounsfieldError(
            f"{folder}: is no private folder of user {user}; remove it, or set TMPDIR to another place"
        )
    return folder
