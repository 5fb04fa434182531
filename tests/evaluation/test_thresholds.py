"""Thresholds against every threshold there is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import f1_score, recall_score

from hounsfield.errors import ConfigError
from hounsfield.evaluation.predictions import predictions_of
from hounsfield.evaluation.settings import EvaluationSettings
from hounsfield.evaluation.thresholds import choose_threshold, choose_thresholds

PROBABILITIES = st.one_of(st.sampled_from([0.0, 0.2, 0.5, np.nextafter(0.5, 1), 0.9, 1.0]), st.floats(0, 1))


def worth(kind, labels, called):
    sensitivity, specificity = recall_score(labels, called), recall_score(1 - labels, ~called)
    return f1_score(labels, called) if kind == "f1" else sensitivity + specificity


@hypothesis_settings(max_examples=40, deadline=None)
@given(st.integers(2, 20).flatmap(lambda n: arrays(np.float64, n, elements=PROBABILITIES)), st.data())
@pytest.mark.parametrize("kind", ["youden", "f1"])
def test_no_threshold_is_better(kind, probabilities, data):
    labels = np.array([1.0, 0.0, *data.draw(st.lists(st.sampled_from([0.0, 1.0]), min_size=18, max_size=18))])
    labels = labels[: len(probabilities)]
    chosen = choose_threshold(labels, probabilities, EvaluationSettings(threshold=kind))
    best = max(worth(kind, labels, probabilities >= value) for value in [*probabilities, 2])
    assert worth(kind, labels, probabilities >= chosen) == pytest.approx(best, abs=1e-12)


@hypothesis_settings(max_examples=40, deadline=None)
@given(st.integers(2, 20).flatmap(lambda n: arrays(np.float64, n, elements=PROBABILITIES)), st.floats(0, 1))
def test_sensitivity_at_reaches_the_target_with_as_few_called_as_can_be(probabilities, target):
    labels = (np.arange(len(probabilities)) % 2).astype(float)
    settings = EvaluationSettings(threshold="sensitivity_at", target=target)
    called = probabilities >= choose_threshold(labels, probabilities, settings)
    assert recall_score(labels, called) >= target
    fewer = [probabilities >= value for value in probabilities]
    enough = [each.sum() for each in fewer if recall_score(labels, each) >= target]
    assert called.sum() == min(enough)


def test_is_midway_between_neighbouring_scores():
    labels, probabilities = np.array([0, 0, 1, 1, np.nan]), np.array([0.1, 0.2, 0.6, 0.9, 0.4])
    assert choose_threshold(labels, probabilities, EvaluationSettings()) == pytest.approx(0.4)


def test_fixed_and_undecided():
    scores = predictions_of(np.array([[0, 1], [0, 0]]), np.array([[0.0, 1.0], [0.3, -1.0]]))
    assert choose_thresholds(scores, EvaluationSettings(threshold="fixed", target=0.3)).tolist() == [0.3, 0.3]
    assert choose_thresholds(scores, EvaluationSettings()).tolist() == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"treshold": "f1"}, "did you mean 'threshold'"),
        ({"threshold": "best"}, "evaluation.threshold: 'best' is not one of youden"),
        ({"target": 1.5}, "evaluation.target"),
        ({"replicates": -1}, "evaluation.replicates"),
        ({"confidence": 1}, "evaluation.confidence"),
        ({"protocols": ["paper"]}, "evaluation.protocols"),
        ({"bands": {"age": [60, 40]}}, "evaluation.bands.age"),
    ],
)
def test_settings_refuse_what_is_unknown_or_impossible(block, message):
    with pytest.raises(ConfigError, match=message):
        EvaluationSettings.from_config(block)
    assert EvaluationSettings.from_config({}) == EvaluationSettings()
