"""Compiled kernels work where nothing but temporary files can be written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
READ = "from hounsfield.volumes.read import read_volume; from hounsfield.evaluation.metrics import compute_metrics"


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounts the library read-only: root of Linux")
def test_a_read_only_library_and_no_home_are_no_obstacle(tmp_path):
    library = tmp_path / "library"
    library.mkdir()
    script = (
        f"mount --bind {ROOT / 'scripts'} {library} && mount -o remount,bind,ro {library} && exec {sys.executable} "
    )
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(library),
        "HOME": "/proc/none",
        "TMPDIR": str(tmp_path),
    }
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", f'{script} -c "{READ}"'], env=environment, capture_output=True, text=True
    )
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip(f"no mounts here: {done.stderr.strip()[-200:]}")
    assert done.returncode == 0, done.stderr[-2000:]
