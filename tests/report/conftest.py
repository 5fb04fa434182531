"""A run's tables, as large and as awkward as a test asks for, without the run."""

from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.special import expit

from hounsfield.evaluation.metrics import THRESHOLD_METRICS
from hounsfield.report.page import write_report
from hounsfield.tables import write_table

HOSTILE = "<script>alert(\"x\")</script> & $\\frac{1}{2}$ 'größer' 肺"
LABELS = ["Lung nodule", "Pleural effusion", HOSTILE]


@dataclass
class FakeRun:
    """A folder like results/{name}, filled by `write`."""

    folder: Path
    models: tuple[str, ...] = ("resnet3d", "vit3d")
    seeds: tuple[int, ...] = (0,)
    pathologies: list[str] = field(default_factory=lambda: list(LABELS))
    patients: int = 40
    without_positives: tuple[str, ...] = ()
    excluded: tuple[tuple[str, str, str], ...] = ()
    examples: int = 1
    edge: int = 24
    name: str = "fake"

    @property
    def config(self):
        return {
            "name": self.name,
            "cohort": {"pathologies": self.pathologies},
            "evaluation": {"level": "scan"},
            "report": {},
        }

    @property
    def page(self):
        return self.folder / "report/index.html"

    def write(self):
        random = np.random.default_rng(0)
        labels = (random.random((self.patients, len(self.pathologies))) < 0.4).astype(float)
        labels[:2] = [[0.0], [1.0]]
        for name in self.without_positives:
            labels[:, self.pathologies.index(name)] = 0
        for model in self.models:
            for seed in self.seeds:
                self._write_training(model, seed, labels, random)
            self._write_examples(model, labels, random)
        self._write_comparison(random)
        self._write_cohort(labels)
        return self

    def _write_training(self, model, seed, labels, random):
        logits = 2 * labels - 1 + random.normal(size=labels.shape)
        table = pd.DataFrame({"volume": [f"{number:05d}" for number in range(len(labels))]})
        table["scan"] = table["patient"] = table["volume"]
        for column, name in enumerate(self.pathologies):
            table[f"label {name}"], table[f"logit {name}"] = labels[:, column], logits[:, column]
        write_table(table, self.folder / f"predictions/{model}/seed{seed}/test.tsv")
        folder = self.folder / f"metrics/{model}/seed{seed}"
        rows = [self._scores(name, labels[:, place], random) for place, name in enumerate(self.pathologies)]
        write_table(pd.DataFrame(rows), folder / "per_pathology.tsv")
        overall = {"metric": ["roc_auc_macro"], "value": [0.8], "low": [0.7], "high": [0.9]}
        write_table(pd.DataFrame(overall), folder / "overall.tsv")
        epochs = np.arange(6)
        history = pd.DataFrame({"epoch": epochs, "step": epochs * 4 + 4, "train_loss": np.exp(-epochs / 3)})
        history["val_loss"] = history["train_loss"] + 0.1
        history["learning_rate"], history["val_roc_auc_macro"] = 0.001, 0.5 + epochs / 20
        history["samples_per_second"], history["data_wait_share"] = 12.5, 0.25
        history["seconds"], history["peak_memory_mb"], history["peak_gpu_memory_mb"] = 60.0, 2048, np.nan
        write_table(history, self.folder / f"models/{model}/seed{seed}/history.tsv")

    @staticmethod
    def _scores(name, labels, random):
        positive = int(labels.sum())
        row = {"pathology": name, "n": len(labels), "n_positive": positive, "n_negative": len(labels) - positive}
        row["prevalence"] = positive / len(labels)
        row |= {"patients_positive": positive, "patients_negative": len(labels) - positive}
        for metric in ("roc_auc", "average_precision"):
            value = random.uniform(0.6, 0.9) if positive else np.nan
            row |= {metric: value, f"{metric}_low": value - 0.1, f"{metric}_high": value + 0.08}
        row["threshold"] = 0.5
        return row | dict.fromkeys([*THRESHOLD_METRICS, "brier"], 0.75 if positive else np.nan)

    def _write_examples(self, model, labels, random):
        folder = self.folder / "explanations" / model
        folder.mkdir(parents=True)
        rows = []
        for place, name in enumerate(self.pathologies):
            for number in range(4 * self.examples):
                picture = f"{len(rows):04d}.png"
                pixels = random.integers(0, 255, (self.edge, self.edge, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / picture)
                label, probability = labels[number, place], expit(random.normal())
                row = {"pathology": name, "volume": f"{number:05d}", "outcome": "with the finding, highest score"}
                rows.append(
                    row | {"label": label, "probability": probability, "method": "Grad-CAM", "picture": picture}
                )
        columns = ["pathology", "volume", "outcome", "label", "probability", "method", "picture"]
        write_table(pd.DataFrame(rows, columns=columns), folder / "index.tsv")
        pointing = {"pathology": self.pathologies, "scans": 8, "hits": 6, "chance": 0.03}
        write_table(pd.DataFrame(pointing), folder / "pointing.tsv")

    def _write_comparison(self, random):
        folder = self.folder / "comparison"
        models = [
            {
                "model": model,
                "metric": metric,
                "value": 0.9 - rank / 10,
                "low": 0.85 - rank / 10,
                "high": 0.95 - rank / 10,
            }
            for rank, model in enumerate(self.models)
            for metric in ("roc_auc_macro", "average_precision_macro", "f1_macro")
        ]
        write_table(pd.DataFrame(models), folder / "models.tsv")
        rows = []
        for a, b in combinations(self.models, 2):
            for name in [*self.pathologies, "(macro)"]:
                for metric in ("roc_auc", "average_precision"):
                    undefined = name in self.without_positives
                    difference = np.nan if undefined else 0.1 * (self.models.index(b) - self.models.index(a))
                    cells = {"a": 0.8, "b": 0.8 - difference, "difference": difference}
                    cells |= {"low": difference - 0.05, "high": difference + 0.05, "p": 0.0004, "p_adjusted": 0.02}
                    cells["beyond_chance"] = "no" if undefined else "yes"
                    rows.append({"model_a": a, "model_b": b, "pathology": name, "metric": metric} | cells)
        columns = ["model_a", "model_b", "pathology", "metric", "a", "b", "difference", "low", "high", "p"]
        columns += ["p_adjusted", "beyond_chance"]
        write_table(pd.DataFrame(rows, columns=columns), folder / "pairs.tsv")
        seeds = [
            {"model": model, "seed": seed, "metric": "roc_auc_macro", "value": 0.8 + seed / 100 + random.random() / 100}
            for model in self.models
            for seed in self.seeds
        ]
        write_table(pd.DataFrame(seeds), folder / "seeds.tsv")

        self._write_beside(folder)

    def _write_beside(self, folder):
        """Cost, ensembles and subgroups, one group too small to be scored."""
        cost = {"seed": 0, "epochs": 6, "training_hours": 0.1, "gpu_hours": 0.0, "parameters": 3_588_550}
        cost |= {"gigaflops": 0.867, "seconds_per_scan": 0.0487, "device": "CPU, threads: 1"}
        write_table(pd.DataFrame([{"model": model} | cost for model in self.models]), folder / "cost.tsv")
        score = {"metric": "roc_auc_macro", "value": 0.951, "low": 0.91, "high": 0.98}
        write_table(pd.DataFrame([{"ensemble": "all models", "members": 2} | score]), folder / "ensembles.tsv")
        rows = []
        for model in self.models:
            for group, small in (("F", False), ("M", True), (HOSTILE, False)):
                for name in [*self.pathologies, "(macro)"]:
                    counts = {"n": 30, "n_positive": 10, "n_negative": 20, "roc_auc": 0.77, "low": 0.66, "high": 0.88}
                    row = {"model": model, "column": "sex", "group": group, "pathology": name, "patients": 12}
                    row |= dict.fromkeys(counts, np.nan) if small else counts
                    rows.append(row | {"suppressed": "yes" if small else "no"})
        write_table(pd.DataFrame(rows), folder / "subgroups.tsv")

    def _write_cohort(self, labels):
        rows = []
        for split in ("train", "val", "test"):
            for place, name in enumerate(self.pathologies):
                positive = int(labels[:, place].sum())
                row = {"split": split, "patients": self.patients, "scans": self.patients, "volumes": self.patients}
                row |= {"label": name, "n_positive": positive, "n_negative": len(labels) - positive, "n_unknown": 0}
                rows.append(row | {"prevalence": positive / len(labels)})
        write_table(pd.DataFrame(rows), self.folder / "cohort/summary.tsv")
        excluded = pd.DataFrame(list(self.excluded), columns=["volume", "reason", "detail"])
        write_table(excluded, self.folder / "cohort/excluded.tsv")
        (self.folder / "benchmarks/train").mkdir(parents=True)
        benchmark = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
        (self.folder / "benchmarks/train/seed0.tsv").write_text(
            benchmark + "90.5\t0:01:30\t2048\t1\t1\t1\t0\t0\t99\t180\n"
        )
        (self.folder / "benchmarks/compare.tsv").write_text(benchmark + "0.5\t0:00:00\tNA\tNA\tNA\tNA\tNA\tNA\t0\tNA\n")


@pytest.fixture(scope="session")
def make_run(tmp_path_factory):
    """A function that writes a FakeRun with the given changes, in a folder of its own."""
    return lambda **changes: FakeRun(tmp_path_factory.mktemp("run"), **changes).write()


@pytest.fixture(scope="session")
def usual_run(make_run):
    """A run with its page, that tests only read: hostile names, two seeds, exclusions, one undefined label."""
    lost = (("<img src=x onerror=alert(1)>", "not_hu", '"quoted" <b>detail</b>'),)
    lost += tuple((f"v{number}", "truncated", "ends early") for number in range(2))
    run = make_run(excluded=lost, seeds=(0, 5), without_positives=("Pleural effusion",))
    write_report(run.folder, run.page, run.config, run.models, run.seeds)
    return run
