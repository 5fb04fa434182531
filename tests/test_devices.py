"""Leases: two jobs never hold one GPU. The GPUs are pretended; the lease is real."""

import os
import subprocess
import sys
import time

import pytest

from hounsfield.devices import count_gpus, lease_devices

HOLDER = """
import sys, time
from hounsfield.devices import lease_devices
import os
with lease_devices(int(sys.argv[1]), poll_s=0.05) as indices:
    print(os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def two_gpus(tmp_path, monkeypatch):
    """A driver that lists two GPUs, and locks of this test's own."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'GPU 0: Pretended (UUID: a)'\necho 'GPU 1: Pretended (UUID: b)'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def hold(n):
    command = [sys.executable, "-c", HOLDER, str(n)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def leave(process):
    process.stdin.close()
    assert process.wait(timeout=30) == 0


def test_two_jobs_get_two_indices(two_gpus):
    assert count_gpus() == 2
    one, other = hold(1), hold(1)
    assert {one.stdout.readline().strip(), other.stdout.readline().strip()} == {"0", "1"}
    leave(one)
    leave(other)


def test_a_job_waits_until_another_leaves_or_is_killed(two_gpus):
    both = hold(2)
    assert both.stdout.readline().strip() == "0,1"
    waiting = hold(1)
    time.sleep(0.5)
    assert waiting.poll() is None
    both.kill()
    assert waiting.stdout.readline().strip() == "0"
    leave(waiting)


def test_a_confined_job_keeps_what_the_scheduler_gave(two_gpus, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    with lease_devices(1):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "5"
        with lease_devices(1):
            assert os.environ["CUDA_VISIBLE_DEVICES"] == "5"


def test_a_machine_without_gpus_needs_none(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with lease_devices(1) as indices:
        assert indices == []
    assert "CUDA_VISIBLE_DEVICES" not in os.environ
