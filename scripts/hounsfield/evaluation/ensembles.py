"""Ensembles: the mean probability of several runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.special import expit

from hounsfield.evaluation.analysis import analyse
from hounsfield.evaluation.predictions import Predictions, mean_logits
from hounsfield.evaluation.score import OVERALL_COLUMNS, overall_table
from hounsfield.evaluation.scored_model import ScoredModel
from hounsfield.evaluation.settings import EvaluationSettings
from hounsfield.evaluation.thresholds import choose_thresholds

ALL_MODELS = "all models"


@dataclass(frozen=True)
class Ensemble:
    """How many networks it has, and their mean probability as a run."""

    members: int
    scored: ScoredModel


def ensemble_model(networks: Sequence[ScoredModel], settings: EvaluationSettings) -> ScoredModel:
    """A model of the mean probabilities, its thresholds chosen on their validation split; all have the same scans."""
    validation, test = (
        mean_predictions([getattr(scored, split) for scored in networks]) for split in ("validation", "test")
    )
    return ScoredModel(validation, test, choose_thresholds(validation, settings), networks[0].calibration)


def ensembles_of(networks: Mapping[str, Sequence[ScoredModel]], settings: EvaluationSettings) -> dict[str, Ensemble]:
    """Each model's ensemble over its seeds, and that of all runs of all models, by name."""
    groups = {f"{model}, {len(seeds)} seeds": seeds for model, seeds in networks.items() if len(seeds) > 1}
    if len(networks) > 1:
        groups[ALL_MODELS] = [scored for seeds in networks.values() for scored in seeds]
    return {name: Ensemble(len(members), ensemble_model(members, settings)) for name, members in groups.items()}


def ensemble_tables(
    ensembles: Mapping[str, Ensemble], pathologies: Sequence[str], settings: EvaluationSettings
) -> dict[str, pd.DataFrame]:
    """`ensembles`: their overall metrics; `operating_points/{name}`: the thresholds on each one's mean probability."""
    tables, points = [], {}
    for name, ensemble in ensembles.items():
        scored = ensemble.scored
        table = overall_table(analyse(scored.test, scored.decisions, settings))
        table.insert(0, "ensemble", name)
        table.insert(1, "members", ensemble.members)
        tables.append(table)
        # The members are calibrated, their mean is taken as it is.
        point = {"pathology": list(pathologies), "scale": 1.0, "offset": 0.0, "threshold": scored.thresholds}
        points[f"operating_points/{name.replace(',', '').replace(' ', '-')}"] = pd.DataFrame(point)
    empty = pd.DataFrame(columns=["ensemble", "members", *OVERALL_COLUMNS])
    return {"ensembles": pd.concat(tables) if tables else empty} | points


def mean_predictions(members: Sequence[Predictions]) -> Predictions:
    """The mean probability of several networks, all scored on the same scans."""
    n, p = members[0].labels.shape
    stacked = np.stack([member.logits for member in members], axis=1).reshape(n * len(members), p)
    logits = mean_logits(stacked, np.arange(n) * len(members))
    return replace(members[0], logits=logits, probabilities=expit(logits))
