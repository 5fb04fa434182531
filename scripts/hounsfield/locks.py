"""Locks between processes, by files; they are free when their process has ended, however it ended."""

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from hounsfield.errors import HounsfieldError

# What file systems without flock answer: NFS and Lustre as they may be mounted, some FUSE ones always.
NO_FLOCK = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}


@contextmanager
def locked(path: str | os.PathLike) -> Iterator[None]:
    """Hold the lock file `path`, once nobody else does. Raises OSError, or HounsfieldError if it is no plain file."""
    held = _acquired(path, wait=True)
    assert held is not None  # it has waited
    with held:
        yield


def try_lock(path: str | os.PathLike) -> AbstractContextManager | None:
    """The lock file `path`, held until the context is left; None if somebody else holds it. Raises as `locked`."""
    return _acquired(path, wait=False)


def _acquired(path: str | os.PathLike, wait: bool) -> AbstractContextManager | None:
    descriptor = _open(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError as error:
        os.close(descriptor)
        if error.errno in NO_FLOCK:
            return _marker(path, wait)
        error.filename = os.fspath(path)
        raise
    return os.fdopen(descriptor, "a")


def _open(path: str | os.PathLike) -> int:
    """The file's descriptor. A link is not followed, and a pipe not waited for, whoever put it there."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise HounsfieldError(f"{path}: is no plain file, but is to be a lock; remove it") from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise HounsfieldError(f"{path}: is no plain file, but is to be a lock; remove it")
    return descriptor


def _marker(path: str | os.PathLike, wait: bool) -> AbstractContextManager | None:
    """A file beside `path` that is there while the lock is held; that of a process that died here is taken over.

    Whether a process of another machine still lives cannot be seen: its marker names it, and waits to be removed.
    """
    from filelock import SoftFileLock, Timeout  # only where it is needed

    try:
        # Of each thread its own, as with flock: a job may wait for another of its process.
        return SoftFileLock(f"{os.fspath(path)}.held", is_singleton=False).acquire(timeout=-1 if wait else 0)
    except Timeout:
        return None
