"""Evaluation: metrics, thresholds, intervals, comparison."""

from hounsfield.evaluation.metrics import compute_metrics

__all__ = ["compute_metrics"]
