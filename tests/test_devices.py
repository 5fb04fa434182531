"""Leases: two jobs never hold one GPU. The GPUs are pretended; the lease is real."""

import os
import subprocess
import sys
import time

import pytest

from hounsfield.devices import count_gpus, lease_devices, list_devices
from hounsfield.errors import ConfigError

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


@pytest.fixture
def driver(two_gpus, tmp_path):
    """A function that has the driver list cards; of each its number of MIG instances, 0 for one that is not divided."""

    def write(cards):
        lines = []
        for index, instances in enumerate(cards):
            lines.append(f"GPU {index}: NVIDIA H100 80GB HBM3 (UUID: GPU-{index:08x}-1111-2222-3333-444455556666)")
            lines += [
                f"  MIG 1g.10gb     Device  {part}: (UUID: MIG-{index:04x}{part:04x}-aaaa-bbbb-cccc-ddddeeeeffff)"
                for part in range(instances)
            ]
        tool = tmp_path / "nvidia-smi"
        tool.write_text("#!/bin/sh\ncat <<'END'\n" + "\n".join(lines) + "\nEND\n")
        tool.chmod(0o755)

    return write


def uuid(index):
    return f"GPU-{index:08x}-1111-2222-3333-444455556666"


def instance(index, part):
    return f"MIG-{index:04x}{part:04x}-aaaa-bbbb-cccc-ddddeeeeffff"


@pytest.mark.parametrize("cards", [1, 4, 8])
@pytest.mark.parametrize("wanted", [1, 2, 4])
@pytest.mark.parametrize("by", ["index", "uuid", "shortened"])
def test_only_the_configured_number_of_the_visible_is_leased(driver, monkeypatch, cards, wanted, by):
    driver([0] * cards)
    names = {"index": str, "uuid": uuid, "shortened": lambda index: uuid(index)[:12]}[by]
    visible = [names(index) for index in reversed(range(cards))]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", ",".join(visible))
    with lease_devices(wanted) as leased:
        assert leased == visible[:wanted]
        assert os.environ["CUDA_VISIBLE_DEVICES"] == ",".join(leased)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ",".join(visible)


@pytest.mark.parametrize("cards", [1, 4, 8])
def test_without_a_scheduler_too(driver, cards):
    driver([0] * cards)
    assert count_gpus() == cards
    with lease_devices(2) as leased:
        assert leased == [str(index) for index in range(min(2, cards))]


def test_a_card_is_leased_once_whatever_it_is_called(driver, monkeypatch):
    driver([0] * 4)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    one = hold(1)
    assert one.stdout.readline().strip() == "2"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", f"{uuid(2)},{uuid(3)}")
    other = hold(1)
    assert other.stdout.readline().strip() == uuid(3)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    rest = hold(2)
    assert rest.stdout.readline().strip() == "0,1"
    for process in (one, other, rest):
        leave(process)


def test_jobs_in_cells_whose_cards_are_all_number_0_do_not_wait_for_one_another(driver, monkeypatch, tmp_path):
    """As under Slurm's cgroups: each job's driver lists its own card alone."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    driver([0])
    one = hold(1)
    assert one.stdout.readline().strip() == "0"
    tool = tmp_path / "nvidia-smi"
    tool.write_text(tool.read_text().replace("GPU-00000000", "GPU-00000007"))
    other = hold(1)
    assert other.stdout.readline().strip() == "0"
    leave(one)
    leave(other)


def test_of_a_divided_card_its_instances_are_leased(driver, monkeypatch):
    driver([2, 0])
    assert [device.name for device in list_devices()] == [instance(0, 0), instance(0, 1), "1"]
    with lease_devices(1) as leased:
        assert leased == [instance(0, 0)]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", f"{instance(0, 1)},{instance(0, 0)}")
    with lease_devices(1) as leased:
        assert leased == [instance(0, 1)]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-GPU-8932f937-d72c/1/0,MIG-GPU-8932f937-d72c/2/0")
    with lease_devices(1) as leased:  # as older drivers call them
        assert leased == ["MIG-GPU-8932f937-d72c/1/0"]


@pytest.mark.parametrize("value", ["", "-1", "NoDevFiles", "none", "-1,0"])
def test_a_scheduler_may_give_none(driver, monkeypatch, value):
    driver([0] * 4)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    with lease_devices(2) as leased:
        assert leased == []


@pytest.mark.parametrize(
    "value", ["all", "0,all", "0,,1", "0;1", "0 1", "1.0", "0x1", "GPU0", "0,cuda:1", "cuda:0", "\u0661a"]
)
def test_what_cuda_does_not_know_is_refused(driver, monkeypatch, value):
    """CUDA would see no GPU, and the job would go on without one."""
    driver([0] * 4)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    with pytest.raises(ConfigError, match="CUDA_VISIBLE_DEVICES"), lease_devices(1):
        pass


def test_minus_one_ends_the_list(driver, monkeypatch):
    driver([0] * 4)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,-1,3")
    with lease_devices(2) as leased:
        assert leased == ["2"]


@pytest.mark.parametrize("value", ["0,0", "1,2,1", "GPU-00000001,GPU-00000001"])
def test_a_card_named_twice_is_refused(driver, monkeypatch, value):
    driver([0] * 4)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    with pytest.raises(ConfigError, match="twice"), lease_devices(1):
        pass


def test_an_index_that_the_driver_does_not_list_is_warned_of(driver, monkeypatch, caplog):
    driver([0] * 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    with lease_devices(1) as leased:
        assert leased == ["5"]
    assert "the driver lists 2 GPUs, no 5" in caplog.text
