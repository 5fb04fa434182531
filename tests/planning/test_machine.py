"""What the machine has, also within a container."""

import pytest

from hounsfield.planning import machine


@pytest.fixture
def cgroup(tmp_path, monkeypatch):
    """The kernel's folder of limits, at first without any."""
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    return tmp_path


def test_a_containers_limit_counts(cgroup):
    unlimited = machine.free_memory()
    assert unlimited > 1e8
    (cgroup / "memory.max").write_text("max\n")
    (cgroup / "memory.current").write_text("1000\n")
    assert machine.free_memory() == pytest.approx(unlimited, rel=0.2)
    (cgroup / "memory.max").write_text("50001000\n")
    assert machine.free_memory() == 5e7


def test_this_machine_is_seen(tmp_path):
    found = machine.inspect_machine(tmp_path / "not" / "yet" / "there")
    assert found.cores >= 1 and found.memory > 0 and found.disk > 0
    assert f"{found.cores} CPU cores" in str(found)
    assert not (tmp_path / "not").exists()
