"""Differences between models, on the same scans and the same resamples of their patients.

DeLong's test: DeLong, DeLong and Clarke-Pearson (1988); for scans clustered in patients Obuchowski (1997), which is
DeLong's where each patient has one scan.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import norm, rankdata

from hounsfield.evaluation.bootstrap import DEFINED_SHARE, Bootstrap, difference
from hounsfield.evaluation.metrics import RANKING_METRICS
from hounsfield.evaluation.scored_model import ScoredModel

PAIR_COLUMNS = [
    "model_a",
    "model_b",
    "pathology",
    "metric",
    "a",
    "b",
    "difference",
    "low",
    "high",
    "p",
    "p_holm",
    "p_delong",
    "p_delong_holm",
]
MACRO = "(macro)"


def pair_table(
    results: Mapping[str, Bootstrap], scored_models: Mapping[str, Sequence[ScoredModel]], pathologies: Sequence[str]
) -> pd.DataFrame:
    """A row a pair of models, ranking metric and pathology, and one of the macro mean.

    results: of each model, averaged over its seeds; runs: each model's seeds. p values are corrected over the
    pathologies of a pair and metric, and the macro rows' over the pairs.
    """
    rows = []
    for a, b in combinations(results, 2):
        gap = difference(results[a], results[b])
        for metric in RANKING_METRICS:
            for j, name in enumerate(pathologies):
                values = [results[model].column(metric, j)[0] for model in (a, b)]
                samples = gap.resamples.columns[metric][:, j]
                p_delong = _delong(scored_models[a], scored_models[b], j) if metric == "roc_auc" else np.nan
                rows.append([a, b, name, metric, *values, *gap.column(metric, j), p_value(samples), np.nan, p_delong])
            macro = f"{metric}_macro"
            values = [results[model].overall(macro)[0] for model in (a, b)]
            p = p_value(gap.resamples.overall[macro])
            rows.append([a, b, MACRO, metric, *values, *gap.overall(macro), p, np.nan, np.nan])
    table = pd.DataFrame([[*row, np.nan] for row in rows], columns=PAIR_COLUMNS)
    return _corrected(table)


def p_value(differences: np.ndarray) -> float:
    """Two-sided, from the share of resamples (R,) on either side of zero, each side at least one resample.

    It is nan where the interval is: if over a tenth of the resamples leave the difference undefined.
    """
    defined = differences[~np.isnan(differences)]
    if defined.size == 0 or defined.size < DEFINED_SHARE * differences.size:
        return float("nan")
    sides = [np.sum(defined <= 0) + 1, np.sum(defined >= 0) + 1]
    return float(min(1.0, 2 * min(sides) / (defined.size + 1)))


def holm(p_values: np.ndarray) -> np.ndarray:
    """Adjusted p values (Holm, 1979); nan ones stay nan and do not count."""
    result = np.full(len(p_values), np.nan)
    known = np.flatnonzero(~np.isnan(p_values))
    order = known[np.argsort(p_values[known])]
    factors = len(order) - np.arange(len(order))
    result[order] = np.maximum.accumulate(p_values[order] * factors).clip(max=1)
    return result


def _delong(a: Sequence[ScoredModel], b: Sequence[ScoredModel], j: int) -> float:
    scores = [np.stack([scored.test.logits[:, j] for scored in scored_models]) for scored_models in (a, b)]
    return delong_test(a[0].test.labels[:, j], *scores, a[0].test.patients).p


def _corrected(table: pd.DataFrame) -> pd.DataFrame:
    macro = table["pathology"] == MACRO
    families = [*table[~macro].groupby(["model_a", "model_b", "metric"]), *table[macro].groupby("metric")]
    for _, family in families:
        for column in ("p", "p_delong"):
            table.loc[family.index, f"{column}_holm"] = holm(family[column].to_numpy(np.float64))
    return table


ROUNDING = 1e-14


@dataclass(frozen=True)
class DeLong:
    """AUROCs a and b, their difference a - b, its standard error, and the two-sided p value."""

    a: float
    b: float
    difference: float
    error: float
    p: float


def placements(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of negatives below each positive (M,), and of positives above each negative (N,); ties count half."""
    ranks = rankdata(scores)
    n_positive, n_negative = positive.sum(), (~positive).sum()
    above = (ranks[positive] - rankdata(scores[positive])) / n_negative
    below = 1 - (ranks[~positive] - rankdata(scores[~positive])) / n_positive
    return above, below


def delong_test(labels: np.ndarray, a: np.ndarray, b: np.ndarray, patients: np.ndarray) -> DeLong:
    """Compare scores a and b, each (seeds, N), AUROCs averaged over the seeds, on labels (N,) of patients (N,).

    Unknown (nan) labels are left out. All is nan if a kind is absent; error and p are nan if a kind has one patient.
    """
    known = ~np.isnan(labels)
    positive, patients = labels[known] == 1, np.unique(patients[known], return_inverse=True)[1]
    if not positive.any() or positive.all():
        return DeLong(*[float("nan")] * 5)
    parts = [[placements(positive, scores) for scores in np.atleast_2d(each)[:, known]] for each in (a, b)]
    # The mean over seeds of AUROCs is the mean of the mean placements.
    (above_a, below_a), (above_b, below_b) = (
        [np.mean(side, axis=0) for side in zip(*each, strict=True)] for each in parts
    )
    difference = above_a.mean() - above_b.mean()
    variance = _variance(above_a - above_b, below_a - below_b, patients[positive], patients[~positive])
    error = float(np.sqrt(max(variance, 0.0)))
    means = above_a.mean(), above_b.mean()
    # Equal rankings differ by nothing, with certainty; what is left is rounding.
    if abs(difference) < ROUNDING and not np.isnan(variance):
        return DeLong(*means, difference, error, 1.0)
    p = 2 * norm.sf(abs(difference) / error) if error > 0 else np.nan
    return DeLong(*means, difference, error, float(p))


def _variance(above: np.ndarray, below: np.ndarray, of_positive: np.ndarray, of_negative: np.ndarray) -> float:
    """Variance of the mean placement, from sums over patients."""
    mean, size = above.mean(), max(of_positive.max(), of_negative.max()) + 1
    high = np.bincount(of_positive, above - mean, size)
    low = np.bincount(of_negative, below - mean, size)
    kinds = (of_positive, of_negative, np.concatenate([of_positive, of_negative]))
    clusters_high, clusters_low, clusters = (len(np.unique(ids)) for ids in kinds)
    if clusters_high < 2 or clusters_low < 2:
        return float("nan")
    spread_high = clusters_high / (clusters_high - 1) * np.sum(high**2)
    spread_low = clusters_low / (clusters_low - 1) * np.sum(low**2)
    both = clusters / (clusters - 1) * np.sum(high * low)
    m, n = len(above), len(below)
    return spread_high / m**2 + spread_low / n**2 + 2 * both / (m * n)
