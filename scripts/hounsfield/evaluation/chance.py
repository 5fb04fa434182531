"""Whether baselines rank the labels better or worse than chance."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd

from hounsfield.evaluation.analysis import Result
from hounsfield.evaluation.multiplicity import adjusted
from hounsfield.evaluation.settings import EvaluationSettings

CHANCE_COLUMNS = ["model", "pathology", "roc_auc", "low", "high", "p", "p_adjusted", "beyond_chance"]


def chance_table(
    results: Mapping[str, Result], baselines: Collection[str], pathologies: Sequence[str], settings: EvaluationSettings
) -> pd.DataFrame:
    """A row a baseline and pathology: its AUROC against 0.5, p adjusted over the labels of all baselines."""
    rows, deviations = [], []
    for model in (name for name in results if name in baselines):
        for j, pathology in enumerate(pathologies):
            found = results[model].column("roc_auc", j)
            p = 2 * np.fmin(found.p_above(0.5), found.p_below(0.5))
            rows.append(
                [model, pathology, *found.interval, np.fmin(p, 1) if found.reason == "" else np.nan, np.nan, "no"]
            )
            deviations.append(results[model].deviations("roc_auc", j)[0])
    table = pd.DataFrame(rows, columns=CHANCE_COLUMNS)
    if rows:
        table["p_adjusted"] = adjusted(table["p"].to_numpy(np.float64), np.stack(deviations, axis=1))
        table["beyond_chance"] = np.where(table["p_adjusted"] < 1 - settings.confidence, "yes", "no")
    return table
