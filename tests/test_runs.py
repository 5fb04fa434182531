"""Two configurations under one name are never at work at once."""

import subprocess
import sys
import time

import pytest

from hounsfield.errors import ConfigError
from hounsfield.runs import CLAIMS, claim_run

# What claims a run, says so, and holds it for a while.
CLAIM = """
import time
from hounsfield.runs import claim_run
held = claim_run('{}', {})
print("held", flush=True)
time.sleep({})
"""
CONFIG = {"name": "run", "models": {}, "seeds": [0], "store": "a", "wandb": {"mode": "offline"}}


def test_the_same_configuration_may_work_twice_whatever_store_it_names(tmp_path):
    with claim_run(tmp_path, CONFIG):
        other = subprocess.run([sys.executable, "-c", CLAIM.format(tmp_path, CONFIG | {"store": "b"}, 0)], check=False)
        assert other.returncode == 0


def test_another_configuration_is_refused_while_the_first_is_at_work(tmp_path):
    with claim_run(tmp_path, CONFIG):
        with pytest.raises(ConfigError, match=r"name: 'run' is at work by another configuration \(process \d+ on"):
            claim_run(tmp_path, CONFIG | {"seeds": [1]})
        claim_run(tmp_path, CONFIG | {"seeds": [1], "name": "other"})
    claim_run(tmp_path, CONFIG | {"seeds": [1]})


def test_a_process_that_was_killed_claims_nothing(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", CLAIM.format(tmp_path, CONFIG, 600)], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    with pytest.raises(ConfigError):
        claim_run(tmp_path, CONFIG | {"seeds": [1]})
    process.kill()
    process.wait()
    with claim_run(tmp_path, CONFIG | {"seeds": [1]}):
        assert len(list((tmp_path / CLAIMS).glob("*.run"))) == 1


@pytest.mark.parametrize("content", ["", "{", "[1]", "null"])
def test_a_claim_that_was_cut_short_stops_nobody(tmp_path, content):
    (tmp_path / CLAIMS).mkdir()
    (tmp_path / CLAIMS / "run-host-1.run").write_text(content)
    claim_run(tmp_path, CONFIG)


def test_of_many_at_once_one_configuration_gets_the_name(tmp_path):
    commands = [[sys.executable, "-c", CLAIM.format(tmp_path, CONFIG | {"seeds": [n]}, 600)] for n in range(3)]
    processes = [subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.PIPE) for command in commands]
    refused = []
    while len(refused) < 2:  # each of the others ends with the error
        refused = [process for process in processes if process.poll() is not None]
        time.sleep(0.02)
    (winner,) = (process for process in processes if process not in refused)
    assert winner.stdout.readline() == b"held\n"
    assert all(process.returncode == 1 and process.stdout.read() == b"" for process in refused)
    winner.kill()
