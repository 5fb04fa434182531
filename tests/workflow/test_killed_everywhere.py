"""A run that is killed at random moments, whatever the stage, ends as one that was left in peace.

HOUNSFIELD_KILLS says how many kills there are in all; two runs share them, so that they can go on side by side.
"""

import os
import random
import re
import shutil
import signal
import subprocess
import time
from contextlib import suppress

import psutil
import pytest

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

KILLS = int(os.environ.get("HOUNSFIELD_KILLS", "8"))


def processes_in(folder):
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd().startswith(str(folder)) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


@pytest.mark.parametrize("seed", [0, 1])
def test_kills_change_nothing(new_project, tiny_config, finished, seed):
    project, moments = new_project(tiny_config), random.Random(seed)
    killed, stages = 0, set()
    while killed < KILLS / 2:
        process = project.start()
        # Moments are told by jobs, not by a clock: on a slower machine, too, some are left the time to end.
        wait_for_jobs(process, project, moments.randint(0, 4))
        try:
            assert process.wait(timeout=moments.uniform(0.1, 2)) == 0
        except subprocess.TimeoutExpired:
            stages |= running_rules(project)
            # Half of the time Snakemake alone, as when memory runs out; its jobs must not outlive it.
            (os.kill if killed % 2 else os.killpg)(process.pid, signal.SIGKILL)
            process.wait()
            killed += 1
            wait_until_gone(project.folder)
        else:
            assert project.contents() == finished.contents()
            shutil.rmtree(project.results())
    project.run()
    assert project.contents() == finished.contents()
    assert len(stages) > 1, f"killed only {stages}"


def wait_for_jobs(process, project, count):
    """Return once so many jobs of this start have begun, or its process has ended."""
    begun = set()
    while len(begun) < count and process.poll() is None:
        begun |= running_scripts(project)
        time.sleep(0.02)


def running_rules(project):
    """Names of the rules whose scripts run in the project's folder."""
    return {re.sub(r"tmp\w+\.(\w+)\.py", r"\1", script) for script in running_scripts(project)}


def running_scripts(project):
    """Names of the scripts that run in the project's folder; each job's is its own."""
    commands = []
    for process in processes_in(project.folder):
        with suppress(psutil.NoSuchProcess):  # it may end at any time
            commands.append(" ".join(process.cmdline()))
    return {script for command in commands for script in re.findall(r"tmp\w+\.\w+\.py", command)}


def wait_until_gone(folder, seconds=120):
    deadline = time.monotonic() + seconds
    while left := processes_in(folder):
        assert time.monotonic() < deadline, f"left behind: {[process.cmdline() for process in left]}"
        time.sleep(0.1)
