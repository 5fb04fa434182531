"""Evaluation: metrics, thresholds, calibration, intervals, comparison."""

from hounsfield.lazy import lazy_names

__getattr__, __all__ = lazy_names(
    __name__,
    {
        "EvaluationSettings": "settings",
        "compare_models": "compare",
        "compute_metrics": "metrics",
        "score_model": "score",
    },
)
