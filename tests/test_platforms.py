"""What only Linux has is asked for on Linux alone; elsewhere is played here, not tried."""

import ctypes
import sys

import pytest

from hounsfield.errors import HounsfieldError
from hounsfield.job import end_with_parent
from hounsfield.memory import peak_memory_mb
from hounsfield.planning.machine import inspect_machine


@pytest.fixture
def mac(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")


def test_a_job_does_without_the_parents_signal(mac, monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: pytest.fail("a Mac's C library has no prctl"))
    end_with_parent()


def test_peak_memory_needs_no_proc(mac, monkeypatch):
    monkeypatch.setattr("hounsfield.memory.Path", lambda _: pytest.fail("a Mac has no /proc"))
    assert peak_memory_mb() > 0


def test_the_planner_says_that_it_needs_linux(mac, tmp_path):
    with pytest.raises(HounsfieldError, match="plan on Linux"):
        inspect_machine(tmp_path)
