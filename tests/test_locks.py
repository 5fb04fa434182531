"""Locks that hold on any file system, are free after a kill, and follow nothing that a stranger has planted."""

import errno
import fcntl
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hounsfield.errors import HounsfieldError
from hounsfield.files import atomic_write, private_folder
from hounsfield.locks import locked, try_lock

HOLDER = """
import errno, fcntl, sys
if sys.argv[2] != "flock":
    def without(*_):
        raise OSError(getattr(errno, sys.argv[2]), "no such thing here")
    fcntl.flock = without
from hounsfield.locks import try_lock
held = try_lock(sys.argv[1])
print("busy" if held is None else "held", flush=True)
sys.stdin.read()
"""
WITHOUT = ["ENOSYS", "ENOLCK", "EOPNOTSUPP"]


def start(path, kind):
    command = [sys.executable, "-c", HOLDER, str(path), kind]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("kind", ["flock", *WITHOUT])
def test_one_holds_it_and_a_killed_one_does_not(tmp_path, kind):
    path = tmp_path / "job.lock"
    first, second = start(path, kind), None
    assert first.stdout.readline() == "held\n"
    second = start(path, kind)
    assert second.stdout.readline() == "busy\n"
    second.communicate("")
    first.kill()
    first.wait()
    third = start(path, kind)
    assert third.stdout.readline() == "held\n"
    third.communicate("")
    assert third.returncode == 0


@pytest.mark.parametrize("kind", WITHOUT)
def test_without_flock_threads_wait_for_one_another(tmp_path, monkeypatch, kind):
    def without(*_):
        raise OSError(getattr(errno, kind), "no such thing here")

    monkeypatch.setattr(fcntl, "flock", without)
    happened = []

    def work(number):
        with locked(tmp_path / "job.lock"):
            happened.append(number)
            happened.append(number)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(8)))
    assert len(happened) == 16 and happened[::2] == happened[1::2]
    assert not list(tmp_path.glob("*.held"))


def test_another_error_of_flock_is_not_taken_for_its_absence(tmp_path, monkeypatch):
    def broken(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", broken)
    with pytest.raises(OSError) as caught:
        try_lock(tmp_path / "job.lock")
    assert caught.value.filename == str(tmp_path / "job.lock")


def _link(path):
    path.with_name("precious").write_text("data")
    path.symlink_to(path.with_name("precious"))


PLANTED = {
    "link": _link,
    "link to nothing": lambda path: path.symlink_to("nowhere"),
    "pipe": os.mkfifo,
    "folder": os.mkdir,
}


@pytest.mark.parametrize("kind", PLANTED)
def test_what_is_no_plain_file_is_no_lock(tmp_path, kind):
    path = tmp_path / "job.lock"
    PLANTED[kind](path)
    for take in (try_lock, lambda path: locked(path).__enter__()):
        with pytest.raises(HounsfieldError, match=r"job\.lock: is no plain file.*remove it"):
            take(path)
    assert not (tmp_path / "nowhere").exists()


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"hounsfield-{os.getuid()}"


def test_the_folder_of_locks_is_private(temporary):
    assert private_folder() == private_folder() == temporary
    assert temporary.stat().st_mode & 0o777 == 0o700


SPOILT = {
    "file": lambda path: path.write_text(""),
    "link to a folder": lambda path: (path.with_name("other").mkdir(), path.symlink_to("other")),
    "link to nothing": lambda path: path.symlink_to("nowhere"),
    "pipe": os.mkfifo,
    "writable for all": lambda path: (path.mkdir(), path.chmod(0o777)),
    "writable for the group": lambda path: (path.mkdir(), path.chmod(0o770)),
    "writable for all, sticky": lambda path: (path.mkdir(), path.chmod(0o1777)),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_a_folder_of_locks_that_is_not_private_is_refused(temporary, kind):
    SPOILT[kind](temporary)
    with pytest.raises(HounsfieldError, match=r"no private folder.*set TMPDIR"):
        private_folder()


def test_a_folder_of_locks_of_somebody_else_is_refused(temporary, monkeypatch):
    private_folder()
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    temporary.rename(temporary.with_name("hounsfield-54321"))
    with pytest.raises(HounsfieldError, match="54321"):
        private_folder()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("uid", [54321, 4_000_000_000])
def test_a_user_without_a_name_has_one_too(tmp_path, uid):
    tmp_path.chmod(0o777)
    for folder in tmp_path.parents:
        if folder != Path(tempfile.gettempdir()) and folder.is_relative_to(tempfile.gettempdir()):
            folder.chmod(0o755)
    code = (
        "import os, sys, tempfile; from hounsfield.files import private_folder; from hounsfield.locks import try_lock;"
        f"os.setgid({uid}); os.setuid({uid}); tempfile.tempdir = sys.argv[1];"
        "print(private_folder().name, try_lock(private_folder() / 'gpu.lock') is not None)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert done.stdout == f"hounsfield-{uid} True\n", done.stderr


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_a_written_file_has_the_rights_of_new_files(tmp_path, mask):
    """The mask is the process's, not a thread's: nothing may change it, even for a moment."""
    before = os.umask(mask)
    try:
        with atomic_write(tmp_path / "table.tsv") as partial:
            partial.write_text("x")
    finally:
        assert os.umask(before) == mask
    assert (tmp_path / "table.tsv").stat().st_mode & 0o777 == 0o666 & ~mask


def test_the_mask_is_never_touched(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "umask", None)
    with atomic_write(tmp_path / "table.tsv") as partial:
        partial.write_text("x")
    assert Path(tmp_path / "table.tsv").read_text() == "x"
