"""Ensembles: the mean probability of several runs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.special import expit

from hounsfield.evaluation.bootstrap import bootstrap
from hounsfield.evaluation.runs import Run
from hounsfield.evaluation.score import OVERALL_COLUMNS, overall_table
from hounsfield.evaluation.scores import Scores, mean_logits
from hounsfield.evaluation.settings import EvaluationSettings
from hounsfield.evaluation.thresholds import choose_thresholds

ALL_MODELS = "all models"


def ensemble_run(runs: Sequence[Run], settings: EvaluationSettings) -> Run:
    """A run of the mean probabilities, its thresholds chosen on their validation split; all have the same scans."""
    validation, test = (_mean([getattr(run, split) for run in runs]) for split in ("validation", "test"))
    return Run(validation, test, choose_thresholds(validation, settings), runs[0].calibration)


def ensemble_table(runs: Mapping[str, Sequence[Run]], settings: EvaluationSettings) -> pd.DataFrame:
    """Overall metrics of each model's ensemble over its seeds, and of all runs of all models."""
    groups = {f"{model}, {len(seeds)} seeds": seeds for model, seeds in runs.items() if len(seeds) > 1}
    if len(runs) > 1:
        groups[ALL_MODELS] = [run for seeds in runs.values() for run in seeds]
    tables = []
    for name, members in groups.items():
        run = ensemble_run(members, settings)
        table = overall_table(bootstrap(run.test, run.decisions, settings))
        table.insert(0, "ensemble", name)
        table.insert(1, "members", len(members))
        tables.append(table)
    return pd.concat(tables) if tables else pd.DataFrame(columns=["ensemble", "members", *OVERALL_COLUMNS])


def _mean(members: Sequence[Scores]) -> Scores:
    n, p = members[0].labels.shape
    stacked = np.stack([member.logits for member in members], axis=1).reshape(n * len(members), p)
    logits = mean_logits(stacked, np.arange(n) * len(members))
    return replace(members[0], logits=logits, probabilities=expit(logits))
