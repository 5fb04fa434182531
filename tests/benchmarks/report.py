"""Size of the page for 18 labels, 4 models and 3 seeds, and how soon Chromium has loaded it.

python tests/benchmarks/report.py
"""

import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from hounsfield.evaluation.compare import compare_models
from hounsfield.evaluation.settings import EvaluationSettings
from hounsfield.report.page import write_report
from hounsfield.tables import read_table, write_table

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
from conftest import FakeRun

MODELS, SEEDS, SCANS = ("resnet3d", "densenet3d", "vit3d", "slices2d"), (0, 1, 2), 3000
# Says when the page had loaded.
PROBE = """<script>addEventListener("load", () => {
const said = document.createElement("pre");
said.id = "probe";
said.textContent = performance.now();
document.body.append(said);
});</script></body>"""


def main() -> None:
    """Print the page's size, the seconds to write it, and to load it where there is a Chromium."""
    with tempfile.TemporaryDirectory() as folder:
        labels = [f"Finding number {number}" for number in range(18)]
        run = FakeRun(Path(folder), MODELS, SEEDS, labels, SCANS, edge=240).write()
        compare(run)
        started = time.perf_counter()
        write_report(run.folder, run.page, run.config, run.models, run.seeds)
        print(f"{run.page.stat().st_size / 1e6:.2f} MB, written in {time.perf_counter() - started:.1f} s")
        if shutil.which("chromium"):
            print(f"loaded in Chromium after {sorted(loaded(run.page) for _ in range(3))[1]:.0f} ms (median of 3)")


def compare(run: FakeRun) -> None:
    """Write the tables of a real comparison, subgroups and protocols included."""
    names = ["volume", "scan", "patient"]
    predictions, histories = {model: {} for model in MODELS}, {model: {} for model in MODELS}
    for model in MODELS:
        for seed in SEEDS:
            predictions[model][seed] = (read_table(run.folder / f"predictions/{model}/seed{seed}/test.tsv", names),) * 2
            histories[model][seed] = read_table(run.folder / f"models/{model}/seed{seed}/history.tsv")
    random = np.random.default_rng(0)
    metadata = pd.DataFrame({"volume": predictions[MODELS[0]][0][0]["volume"], "age": random.integers(18, 95, SCANS)})
    metadata["sex"], metadata["kernel"] = random.choice(list("MF"), SCANS), random.choice(list("abcdefgh"), SCANS)
    settings = EvaluationSettings(replicates=100, protocols=("ct-clip",))
    for name, table in compare_models(predictions, run.pathologies, settings, metadata, histories).items():
        write_table(table, run.folder / f"comparison/{name}.tsv")


def loaded(page: Path) -> float:
    """Milliseconds to Chromium's load event, of a copy whose policy lets the probe speak."""
    text = re.sub(r"<meta http-equiv=[^>]*>", "", page.read_text(encoding="utf-8"))
    probed = page.with_name("probed.html")
    probed.write_text(text.replace("</body>", PROBE), encoding="utf-8")
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--timeout=8000", "--dump-dom"]
    done = subprocess.run([*command, probed.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    return float(re.search(r'id="probe">([\d.]+)', done.stdout)[1])


if __name__ == "__main__":
    main()
