"""Evaluation: metrics, thresholds, calibration, intervals, comparison."""

from hounsfield.evaluation.compare import compare_models
from hounsfield.evaluation.metrics import compute_metrics
from hounsfield.evaluation.score import score_model
from hounsfield.evaluation.settings import EvaluationSettings

__all__ = ["EvaluationSettings", "compare_models", "compute_metrics", "score_model"]
