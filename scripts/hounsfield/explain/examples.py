"""Which scans to show: the extremes on both sides, so that mistakes are seen as well as successes."""

from collections.abc import Sequence

import pandas as pd
from scipy.special import expit

# Kind of example: (label, whether the highest scores are wanted).
KINDS = {
    "with the finding, highest score": (1, True),
    "with the finding, lowest score": (1, False),
    "without it, highest score": (0, True),
    "without it, lowest score": (0, False),
}
COLUMNS = ["pathology", "volume", "outcome", "label", "probability"]


def choose_examples(predictions: pd.DataFrame, pathologies: Sequence[str], count: int) -> pd.DataFrame:
    """`count` volumes of each kind for each pathology, as COLUMNS; no patient twice within a kind.

    predictions: volume, patient, `label {p}`, `logit {p}`. Equal scores go by the volume's name. A volume is of one
    kind at most, so a label with few positives shows fewer.
    """
    parts = [_of_pathology(predictions, name, count) for name in pathologies]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)


def _of_pathology(predictions: pd.DataFrame, pathology: str, count: int) -> pd.DataFrame:
    table = pd.DataFrame({"volume": predictions["volume"].astype(str), "patient": predictions["patient"]})
    table["pathology"] = pathology
    table["label"] = predictions[f"label {pathology}"].astype(float)
    table["probability"] = expit(predictions[f"logit {pathology}"].astype(float))
    table = table.sort_values("volume", kind="stable")
    parts: list[pd.DataFrame] = []
    taken: set[str] = set()
    for kind, (label, highest) in KINDS.items():
        rows = table[(table["label"] == label) & ~table["volume"].isin(taken)]
        rows = rows.sort_values("probability", ascending=not highest, kind="stable").drop_duplicates("patient")[:count]
        taken.update(rows["volume"])
        parts.append(rows.assign(outcome=kind)[COLUMNS])
    return pd.concat(parts, ignore_index=True)
