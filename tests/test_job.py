import logging
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from hounsfield.errors import HounsfieldError
from hounsfield.job import only_one, run_job


@pytest.fixture
def snakemake(tmp_path):
    yield SimpleNamespace(rule="train", log=[str(tmp_path / "job.log")], wildcards={"model": "vit3d"})
    for handler in logging.getLogger().handlers[:]:
        if isinstance(handler, logging.FileHandler):
            logging.getLogger().removeHandler(handler)
            handler.close()


def log_of(snakemake):
    path = Path(snakemake.log[0])
    return path.read_text() if path.exists() else ""


def test_a_job_says_when_it_started_and_finished(snakemake):
    run_job(lambda _: None, snakemake)
    assert "train: started (model=vit3d)" in log_of(snakemake)
    assert "train: finished" in log_of(snakemake)


def test_a_user_error_is_one_line(snakemake, capsys):
    def main(_):
        raise HounsfieldError("scan_7.nii.gz: truncated; download it again")

    with pytest.raises(SystemExit) as stop:
        run_job(main, snakemake)
    assert stop.value.code == 1
    assert "scan_7.nii.gz: truncated; download it again" in capsys.readouterr().err
    assert "Traceback" not in log_of(snakemake)


def test_any_other_error_keeps_its_traceback_for_the_log(snakemake, capsys):
    with pytest.raises(SystemExit) as stop:
        run_job(lambda _: 1 / 0, snakemake)
    assert stop.value.code == 1
    terminal = capsys.readouterr().err
    assert "ZeroDivisionError" in terminal and snakemake.log[0] in terminal and "Traceback" not in terminal
    assert "Traceback" in log_of(snakemake)


def test_a_job_that_another_run_is_doing_waits_until_it_ends(snakemake):
    happened = []
    with ThreadPoolExecutor(1) as pool:
        with only_one(f"{snakemake.log[0]}.lock"):
            job = pool.submit(run_job, lambda _: happened.append("job"), snakemake)
            while "another run is doing this now; waiting" not in log_of(snakemake):
                time.sleep(0.01)
            happened.append("the other run")
        job.result(timeout=60)
    assert happened == ["the other run", "job"]


ORPHAN = """
import os, sys, time
if os.fork():
    os._exit(0)  # the parent dies first
while os.getppid() == int(sys.argv[1]):
    time.sleep(0.01)
from types import SimpleNamespace
from hounsfield.job import run_job
snakemake = SimpleNamespace(rule="train", log=[sys.argv[2] + ".log"], wildcards={})
run_job(lambda _: open(sys.argv[2], "w").close(), snakemake)
open(sys.argv[2], "w").close()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_a_job_whose_snakemake_died_while_it_was_starting_ends(tmp_path):
    made = tmp_path / "made"
    script = ORPHAN.replace("int(sys.argv[1])", "PARENT").replace("if os.fork", "PARENT = os.getpid()\nif os.fork")
    done = subprocess.run([sys.executable, "-c", script, "", str(made)], capture_output=True, text=True, timeout=120)
    assert "Snakemake has ended, and so does its job" in done.stderr
    assert not made.exists()
