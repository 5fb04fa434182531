"""Methods over several trainings, and their differences."""

import numpy as np
import pytest

from hounsfield.evaluation import EvaluationSettings
from hounsfield.evaluation.analysis import analyse, mean_over_seeds, over_same_labels
from hounsfield.evaluation.predictions import Predictions, predictions_of

SETTINGS = EvaluationSettings()


def make_labels(random, n=400, p=2):
    return (random.random((n, p)) < 0.3).astype(float)


def network(random, labels, skill=1.0, settings=SETTINGS):
    scores = predictions_of(labels, random.normal(skill * labels, 1))
    patients = np.arange(len(labels)) // 2
    scores = Predictions(scores.labels, scores.logits, scores.probabilities, patients, scores.units)
    return analyse(scores, scores.probabilities > 0.5, settings)


def test_one_training_has_the_networks_own_interval():
    random = np.random.default_rng(0)
    result = network(random, make_labels(random))
    estimate = result.parts[0].networks[0].columns["roc_auc"][0]
    assert result.column("roc_auc", 0).interval[1:] == pytest.approx(estimate.interval(0.95), abs=1e-12)


def test_trainings_that_scatter_widen_the_interval_beyond_that_of_the_patients():
    random = np.random.default_rng(1)
    labels = make_labels(random)
    alike = mean_over_seeds([network(random, labels, 1.0) for _ in range(4)]).column("roc_auc", 0)
    apart = mean_over_seeds([network(random, labels, skill) for skill in (0.4, 0.8, 1.2, 1.6)]).column("roc_auc", 0)
    assert np.diff(apart.interval[1:]) > 2 * np.diff(alike.interval[1:])
    assert apart.freedom < 6 < alike.freedom


def test_more_trainings_than_one_leave_only_the_common_part_of_the_patients():
    random = np.random.default_rng(2)
    labels = make_labels(random, 2000, 1)
    runs = [network(random, labels) for _ in range(12)]
    single = np.mean([np.diff(run.column("roc_auc", 0).interval[1:]) for run in runs])
    # Networks whose noise is their own agree on nothing but the labels: their mean is far surer.
    assert np.diff(mean_over_seeds(runs).column("roc_auc", 0).interval[1:]) < single / 2


def test_differences_on_other_patients_add_their_variances():
    random = np.random.default_rng(3)
    a, b = (network(random, make_labels(random, 3000, 1)) for _ in range(2))
    gap = a.minus(b, independent=True).column("roc_auc", 0)
    widths = [np.diff(each.column("roc_auc", 0).interval[1:])[0] for each in (a, b)]
    assert np.diff(gap.interval[1:])[0] == pytest.approx(np.hypot(*widths), rel=0.02)


def test_a_network_that_never_calls_a_label_gains_nothing_by_it():
    random = np.random.default_rng(4)
    labels = make_labels(random, 400, 3)
    labels[:, 2] = np.arange(400) % 40 == 0
    scores = predictions_of(labels, random.normal(labels, 1))
    calls = scores.probabilities > 0.6
    silent = calls.copy()
    silent[:, 2] = False
    runs = {"bold": {0: analyse(scores, calls, SETTINGS)}, "silent": {0: analyse(scores, silent, SETTINGS)}}
    own = [runs[model][0].overall("precision_macro").value for model in runs]
    assert own[1] > own[0] + 0.1
    same = over_same_labels(runs)
    values = [same[model][0].overall("precision_macro").value for model in runs]
    assert values[0] == values[1]
    assert same["bold"][0].labels("precision").tolist() == [True, True, False]
    assert same["bold"][0].labels("roc_auc").all()


def test_margins_tell_no_worse_from_unknown():
    random = np.random.default_rng(5)
    labels = make_labels(random, 4000, 1)
    gap = network(random, labels).minus(network(random, labels)).column("roc_auc", 0)
    assert gap.p_above(-0.05) < 0.01 and gap.p_below(0.05) < 0.01
    assert gap.p_above(0.05) > 0.9
    assert gap.p == pytest.approx(2 * min(gap.p_above(0), gap.p_below(0)))
    low, high = gap.interval[1:]
    assert (gap.p < 0.05) == (low > 0 or high < 0)
