"""The same command on a real Slurm with GPUs, started on this machine."""

import os
import re
import shutil
import signal
import subprocess
import time
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import psutil
import pytest

from hounsfield.errors import CheckpointError
from hounsfield.locks import locked
from hounsfield.tables import read_table
from hounsfield.training.checkpoints import load_checkpoint

WANTED = os.environ.get("HOUNSFIELD_TEST_SLURM") == "1" and os.geteuid() == 0
REASON = "installs Slurm and writes /etc/slurm: set HOUNSFIELD_TEST_SLURM=1, as root, on a machine to throw away"
# One Slurm at a time, as it has one configuration.
pytestmark = [pytest.mark.workflow, pytest.mark.slow, pytest.mark.xdist_group("slurm")]
pytestmark += [pytest.mark.skipif(not WANTED, reason=REASON)]

SCRIPTS = Path(__file__).parents[1] / "slurm"
EXECUTOR = ["--workflow-profile", "workflow/profiles/slurm", "--latency-wait", "5"]
# There is no accounting here, and jobs last seconds.
EXECUTOR += ["--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "1"]
EXECUTOR += ["--seconds-between-status-checks", "1"]


@pytest.fixture
def slurm(tmp_path_factory):
    """A function that starts a Slurm of so many nodes with two GPUs each; it ends with the test."""
    folders = []

    def start(nodes=1):
        # Groups keep these tests apart within one session; this keeps sessions apart.
        held.enter_context(locked("/var/lock/hounsfield-test-slurm"))
        folders.append(tmp_path_factory.mktemp("slurm"))
        done = subprocess.run([SCRIPTS / "start.sh", folders[-1], str(nodes)], capture_output=True, text=True)
        if done.returncode and shutil.which("slurmctld") is None:
            pytest.skip(f"Slurm cannot be installed here: {done.stderr.strip()[-300:]}")
        assert done.returncode == 0, done.stdout + done.stderr

    with ExitStack() as held:
        yield start
        for folder in folders:
            subprocess.run([SCRIPTS / "stop.sh", folder], check=True)


def jobs(state="all"):
    """Slurm's jobs in a state, by their number."""
    listing = subprocess.run(["squeue", "-h", "-t", state, "-o", "%i"], capture_output=True, text=True, check=True)
    return listing.stdout.split()


def gpu_jobs(project):
    """(started, finished, GPU) of each training, from its log."""
    found = []
    for path in project.results("logs/train").rglob("*.log"):
        lines = path.read_text().splitlines()
        moments = [
            datetime.fromisoformat(line[:19]) for line in lines if "train: started" in line or "train: finished" in line
        ]
        gpu = re.search(r"GPU (\S+) of 1$", path.read_text(), flags=re.M).group(1)
        found.append((moments[0], moments[-1], gpu))
    return sorted(found)


def test_a_run_from_the_first_table_to_the_metrics_shares_two_gpus(slurm, new_project, tiny_config, finished):
    slurm()
    cohort, models = tiny_config["cohort"] | {"shards": 1}, {"vit": tiny_config["models"]["vit"]}
    project = new_project(tiny_config | {"seeds": [0, 1, 2], "cohort": cohort, "models": models})
    project.executor = EXECUTOR
    project.run(*(f"results/tiny/metrics/vit/seed{seed}/overall.tsv" for seed in range(3)))
    table = "metrics/vit/seed0/overall.tsv"
    assert project.results(table).read_bytes() == finished.results(table).read_bytes()
    trained = gpu_jobs(project)
    assert {gpu for *_, gpu in trained} == {"0", "1"}
    together = [(a, b) for i, a in enumerate(trained) for b in trained[i + 1 :] if b[0] < a[1]]
    assert together, "two trainings run at once"
    assert all(a[2] != b[2] for a, b in together), "each sees a GPU of its own"
    assert trained[2][0] >= min(finish for _, finish, _ in trained[:2]), "the third waits"


def wait_for(condition, what, seconds=120):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.2)
    pytest.fail(f"waited for {what}")


def epoch_of(project):
    try:
        return load_checkpoint(project.results("models/vit/seed0/last.pth"))["progress"]["epoch"]
    except CheckpointError:
        return -1


def trainings(project):
    """The project's own: other tests may train beside it."""
    found = psutil.process_iter(["cmdline", "cwd"])
    here = [process for process in found if (process.info["cwd"] or "").startswith(str(project.folder))]
    return [process for process in here if "train.py" in " ".join(process.info["cmdline"] or [])[-40:]]


def test_killed_jobs_go_on_at_the_next_attempt(slurm, copy):
    """By scancel, by SIGKILL, and by the time limit, one after the other."""
    slurm()
    copy.executor = [*EXECUTOR, "--retries", "3"]
    copy.config["models"]["vit"]["training"] = {"epochs": 1500, "early_stopping": {"patience": 9999}}
    process = copy.start("results/tiny/models/vit/seed0/best.pth")
    wait_for(lambda: epoch_of(copy) > 4, "the first epochs")
    kills = {
        "scancel": lambda: subprocess.run(["scancel", *jobs("running")], check=True),
        "SIGKILL": lambda: [training.kill() for training in trainings(copy)],
        "time limit": lambda: [set_limit(job, "1") for job in jobs("running")],
    }
    for name, kill in kills.items():
        before, numbers = epoch_of(copy), jobs("running")
        kill()
        wait_for(lambda numbers=numbers: set(jobs("running")) - set(numbers), f"the attempt after {name}", 240)
        wait_for(lambda before=before: epoch_of(copy) > before + 2, f"epochs after {name}")
    os.killpg(process.pid, signal.SIGINT)
    process.wait(timeout=120)
    log = copy.results("logs/train/vit/seed0.log").read_text()
    assert "going on from epoch" in log
    wait_for(lambda: not trainings(copy), "the end of the cancelled training")


def set_limit(job, minutes):
    subprocess.run(["scontrol", "update", f"jobid={job}", f"timelimit={minutes}"], check=True)


@pytest.mark.parametrize("nodes", [1, 2])
def test_processes_train_together_in_an_allocation(slurm, copy, nodes):
    slurm(nodes)
    copy.executor = EXECUTOR
    copy.config["training"] |= {"gpu": 2, "nodes": nodes}
    copy.config["models"] = {"vit": copy.config["models"]["vit"]}
    shutil.rmtree(copy.results("models"))
    copy.run("results/tiny/models/vit/seed0/best.pth")
    shown = subprocess.run(["scontrol", "show", "job"], capture_output=True, text=True, check=True).stdout
    assert f"NumNodes={nodes} " in shown
    log = copy.results("logs/train/vit/seed0.log").read_text()
    assert "GPU 0,1 of 2" in log
    assert log.count("best epoch") == 1
    assert list(read_table(copy.results("models/vit/seed0/history.tsv"))["epoch"]) == [0, 1]
