"""That the 95 % intervals cover the truth where there are few patients; tests/benchmarks holds the whole simulation."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from hounsfield.evaluation.analysis import label_estimates, network_estimates
from hounsfield.evaluation.bootstrap import bootstrap
from hounsfield.evaluation.settings import EvaluationSettings


def benchmark(name):
    path = Path(__file__).parents[1] / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


simulation = benchmark("interval_coverage")


def limits(scans, prevalence, auroc, runs):
    """By metric: limits (runs, 2) of one label, nan where none is printed."""
    random = np.random.default_rng(3)
    found = {}
    for _ in range(runs):
        scores, calls = simulation.draw(random, scans, [prevalence], auroc)
        columns = (each[:, 0] for each in (scores.labels, scores.logits, scores.probabilities, calls))
        for metric, each in label_estimates(*columns, scores.patients, scores.patients.max() + 1, 0.95).items():
            found.setdefault(metric, []).append(each.interval(0.95))
    return {metric: np.array(each) for metric, each in found.items()}


@pytest.mark.parametrize(("scans", "prevalence", "auroc"), [(60, 0.1, 0.97), (300, 0.02, 0.97), (300, 0.4, 0.85)])
def test_every_metric_covers_the_truth(scans, prevalence, auroc):
    truth = simulation.truths(prevalence, auroc)
    for metric, (low, high) in ((name, each.T) for name, each in limits(scans, prevalence, auroc, 400).items()):
        printed = ~np.isnan(low)
        assert printed.mean() > 0.6
        # 400 runs know a coverage to 0.025.
        assert np.mean((low <= truth[metric]) & (truth[metric] <= high), where=printed) >= 0.9, metric


def test_the_bootstrap_does_not():
    random = np.random.default_rng(4)
    settings = EvaluationSettings(interval="percentile", replicates=200)
    covered = []
    for _ in range(150):
        scores, calls = simulation.draw(random, 300, [0.02], 0.97)
        low, high = bootstrap(scores, calls, settings).column("roc_auc", 0).interval[1:]
        covered.append(np.nan if np.isnan(low) else low <= 0.97 <= high)
    assert np.nanmean(covered) < 0.8


def test_macro_means_cover_the_truth():
    random = np.random.default_rng(5)
    truth = np.array([simulation.truths(share, 0.97)["roc_auc"] for share in simulation.MIX])
    covered = []
    for _ in range(200):
        network = network_estimates(*simulation.draw(random, 300, simulation.MIX, 0.97), 0.95)
        low, high = network.overall["roc_auc_macro"].interval(0.95)
        covered.append(low <= truth[network.labels["roc_auc"]].mean() <= high)
    assert np.mean(covered) >= 0.92
