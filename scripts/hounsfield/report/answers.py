"""What the tables say, in the terms of the page's questions."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from hounsfield.report.baselines import leaks
from hounsfield.report.results import MACRO, Results

VERDICTS = {
    (1, True): "true positive",
    (1, False): "false negative",
    (0, True): "false positive",
    (0, False): "true negative",
}


@dataclass(frozen=True)
class Difference:
    """A model's metric minus another's, on the same patients; nan where undefined.

    p is adjusted over all comparisons, and beyond_chance what it decides.
    """

    other: str
    value: float
    low: float
    high: float
    p: float
    beyond_chance: bool = False


@dataclass(frozen=True)
class Best:
    """The model with the highest macro AUROC, and its difference from each other model, the nearest first."""

    model: str
    value: float
    low: float
    high: float
    differences: list[Difference]

    @property
    def rivals(self) -> list[str]:
        """Models that chance alone may have put behind it."""
        return [each.other for each in self.differences if not (each.beyond_chance and each.value > 0)]


def best_model(results: Results) -> Best | None:
    """The best by macro AUROC; None if it is undefined for all."""
    models = results.comparison["models"]
    macro = models[models["metric"] == "roc_auc_macro"].dropna(subset="value")
    if macro.empty:
        return None
    macro = macro.sort_values("value", ascending=False, kind="stable")
    first = macro.iloc[0]
    pairs = results.comparison["pairs"]
    pairs = pairs[(pairs["metric"] == "roc_auc") & (pairs["pathology"] == MACRO)]
    found = {each.other: each for each in differences_of(pairs, first["model"])}
    unknown = (np.nan,) * 4
    others = [found.get(other, Difference(other, *unknown)) for other in macro["model"][1:]]
    return Best(first["model"], first["value"], first["low"], first["high"], others)


def best_first(results: Results) -> list[str]:
    """The models by macro AUROC, undefined ones last."""
    frame = results.comparison["models"]
    macro = frame[frame["metric"] == "roc_auc_macro"].set_index("model")["value"]
    return sorted(results.first, key=lambda model: -np.nan_to_num(macro.get(model, np.nan), nan=-1.0))


def differences_of(pairs: pd.DataFrame, model: str) -> list[Difference]:
    """`model` minus each other one, from rows that have it on either side."""
    found = []
    for row in pairs.to_dict("records"):
        decided = row["p_adjusted"], row["beyond_chance"] == "yes"
        if row["model_a"] == model:
            found.append(Difference(row["model_b"], row["difference"], row["low"], row["high"], *decided))
        elif row["model_b"] == model:
            found.append(Difference(row["model_a"], -row["difference"], -row["high"], -row["low"], *decided))
    return found


def clear_winners(pairs: pd.DataFrame, metric: str) -> dict[str, str]:
    """Pathology -> the model that is better than every other one beyond chance."""
    winners = {}
    pairs = pairs[pairs["metric"] == metric]
    for pathology, rows in pairs.groupby("pathology", sort=False):
        for model in pd.unique(rows[["model_a", "model_b"]].to_numpy().ravel()):
            found = differences_of(rows, model)
            if found and all(each.beyond_chance and each.value > 0 for each in found):
                winners[pathology] = model
    return winners


def confusion(labels: np.ndarray, probabilities: np.ndarray, threshold: float) -> dict[str, int]:
    """Counts by verdict, of labels and probabilities (N,); at or above the threshold is a finding."""
    called = probabilities >= threshold
    return {name: int(((labels == label) & (called == call)).sum()) for (label, call), name in VERDICTS.items()}


def verdict(label: float, probability: float, threshold: float) -> str:
    """True or false, positive or negative; what the label says where no threshold is known."""
    if pd.isna(threshold):
        return "with the finding" if label == 1 else "without it"
    return VERDICTS[int(label), bool(probability >= threshold)]


def caveats(results: Results, best: Best | None, least: int = 10) -> list[str]:
    """What a reader should bear in mind, in sentences."""
    said = []
    table = next(iter(results.first.values()))
    few = table[(table["patients_positive"] < least) | (table["patients_negative"] < least)]
    if len(few):
        count = "One label has" if len(few) == 1 else f"{len(few)} of {len(table)} labels have"
        said.append(f"{count} fewer than {least} test patients with or without it: read the intervals, not the values.")
    undefined = table[table["roc_auc"].isna()]
    if len(undefined):
        names = ", ".join(undefined["pathology"])
        said.append(f"Undefined on the test split, and left out of the macro means: {names}.")
    said += leaks(results)
    if not results.several_seeds:
        times = "under one seed" if len(results.runs) > 1 else "once"
        said.append(
            f"Each model was trained {times}: what is said holds of this network. Another training was not tried, "
            "and may come out before or behind."
        )
    if best is not None and best.differences:
        said.append("The best model was picked on these same test scans, which flatters it a little.")
    return said
