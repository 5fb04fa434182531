"""Metrics with intervals and tests: of one network, of a method over several trainings, and of differences.

Both variances are carried: that of the test patients, and, where there are several trainings, that of the training
(Bouthillier et al., 2021), under one t with Satterthwaite's degrees of freedom. Of a single training only the first is
known, so that what is said is said of this network.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hounsfield.evaluation import intervals
from hounsfield.evaluation.bootstrap import Bootstrap, bootstrap
from hounsfield.evaluation.finding import Finding
from hounsfield.evaluation.intervals import Estimate
from hounsfield.evaluation.metrics import PER_PATHOLOGY
from hounsfield.evaluation.predictions import Predictions
from hounsfield.evaluation.settings import EvaluationSettings


@dataclass(frozen=True)
class Network:
    """Estimates of one network's metrics: columns[metric] of each label, overall[metric].

    labels[metric]: the labels (P,) that its macro mean is over.
    """

    columns: dict[str, list[Estimate]]
    overall: dict[str, Estimate]
    labels: dict[str, np.ndarray]
    confidence: float

    def over(self, labels: Mapping[str, np.ndarray]) -> "Network":
        """The same with macro means over some of the labels (P,) of each metric."""
        macro = {
            f"{metric}_macro": _macro(metric, self.columns[metric], chosen, self.confidence)
            for metric, chosen in labels.items()
        }
        return replace(self, overall=macro | self.overall | macro, labels=dict(labels))


@dataclass(frozen=True)
class Part:
    """One term of a difference: trainings of a method, their weight, and the cohort that they are scored on."""

    weight: float
    networks: tuple[Network, ...]
    cohort: int = 0


@dataclass(frozen=True)
class Analysis:
    """Of a method over its trainings (one part) or of the difference of two."""

    parts: tuple[Part, ...]
    confidence: float

    @property
    def metrics(self) -> list[str]:
        """Names of the overall metrics."""
        return list(self.parts[0].networks[0].overall)

    def labels(self, metric: str) -> np.ndarray:
        """Labels (P,) that the macro mean of a metric is over."""
        return self.parts[0].networks[0].labels[metric]

    def column(self, metric: str, j: int) -> Finding:
        """Of pathology number j."""
        return self._find(lambda network: network.columns[metric][j])

    def overall(self, metric: str) -> Finding:
        """Of a macro or micro mean."""
        return self._find(lambda network: network.overall[metric])

    def deviations(self, metric: str, j: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """What each patient and each training adds to a metric of pathology j, or to an overall one, of one method."""
        networks = self.parts[0].networks
        group = [network.overall[metric] if j is None else network.columns[metric][j] for network in networks]
        values, k = np.array([each.value for each in group]), len(group)
        scatter = (values - values.mean()) / np.sqrt(k * (k - 1)) if k > 1 else np.zeros(1)
        return np.mean([each.influence for each in group], axis=0), scatter

    def over(self, labels: Mapping[str, np.ndarray]) -> "Analysis":
        """The same with macro means over some of the labels (P,) of each metric."""
        parts = (replace(part, networks=tuple(each.over(labels) for each in part.networks)) for part in self.parts)
        return replace(self, parts=tuple(parts))

    def minus(self, other: "Analysis", independent: bool = False) -> "Analysis":
        """The difference from another one on the same patients, or, `independent`, on others."""
        turned = (replace(part, weight=-part.weight, cohort=part.cohort + independent) for part in other.parts)
        return replace(self, parts=(*self.parts, *turned))

    def _find(self, pick: Callable[[Network], Estimate]) -> Finding:
        groups = [[pick(network) for network in part.networks] for part in self.parts]
        weights, cohorts = [part.weight for part in self.parts], [part.cohort for part in self.parts]
        return contrast(groups, weights, cohorts, self.confidence)


def contrast(
    groups: Sequence[Sequence[Estimate]], weights: Sequence[float], cohorts: Sequence[int], confidence: float
) -> Finding:
    """The weighted sum of means over trainings; a group's estimates are of one method, groups of a cohort of the same
    patients.

    The trainings' own scatter, which includes how each of them happens to fit these patients, is counted once: the test
    patients' part is the covariance between trainings.
    """
    value = float(sum(w * np.mean([each.value for each in group]) for w, group in zip(weights, groups, strict=True)))
    reason = next((each.reason for group in groups for each in group if each.reason), "")
    if np.isnan(value):
        return Finding.undefined(reason or "undefined", confidence)
    below, above, freedom = _patients_part(groups, weights, cohorts, confidence)
    seeds = [
        (w**2 * np.var([each.value for each in group], ddof=1) / len(group), len(group) - 1)
        for w, group in zip(weights, groups, strict=True)
        if len(group) > 1
    ]
    spread = sum(variance for variance, _ in seeds)
    middle = (below**2 + above**2) / 2
    uncertain = middle**2 / freedom + sum(variance**2 / degrees for variance, degrees in seeds)
    if spread > 0:
        freedom = (middle + spread) ** 2 / uncertain
    return Finding(
        value, float(np.sqrt(below**2 + spread)), float(np.sqrt(above**2 + spread)), freedom, confidence, reason
    )


def _patients_part(
    groups: Sequence[Sequence[Estimate]], weights: Sequence[float], cohorts: Sequence[int], confidence: float
) -> tuple[float, float, int]:
    """Standard errors towards either side that the test patients make, and their degrees of freedom.

    The influences give the variance of the sum. It is widened on each side as the single estimates' intervals are wider
    than their own variances, and, of a difference, as few patients make up the variance.
    """
    variance, single, moved = 0.0, 0.0, []
    for cohort in dict.fromkeys(cohorts):
        members = [place for place, each in enumerate(cohorts) if each == cohort]
        variance += _shared_variance([groups[place] for place in members], [weights[place] for place in members])
        moved.append(
            sum(weights[place] * np.mean([each.influence for each in groups[place]], axis=0) for place in members)
        )
    sides = np.zeros(2)
    for weight, group in zip(weights, groups, strict=True):
        single += weight**2 * np.mean([each.variance for each in group])
        towards = np.array([np.mean([each.below for each in group]), np.mean([each.above for each in group])])
        sides += weight**2 * (towards if weight > 0 else towards[::-1]) ** 2
    freedom = sum(max(len(each) - 1, 1) for each in moved)
    if single == 0:
        return float(np.sqrt(sides[0])), float(np.sqrt(sides[1])), freedom
    wider = np.sqrt(sides / single)
    if len(groups) > 1:
        worth = max(min(intervals.effective_freedom(np.concatenate(moved)), freedom), 1)
        wider = np.maximum(wider, intervals.quantile(confidence, worth) / intervals.quantile(confidence, freedom))
    below, above = np.sqrt(variance) * wider
    return float(below), float(above), freedom


def _shared_variance(groups: Sequence[Sequence[Estimate]], weights: Sequence[float]) -> float:
    """Variance over patients of a sum of means over trainings, without what each training adds by itself."""
    influences = np.stack([each.influence for group in groups for each in group], axis=1)
    covariances = intervals.covariance(influences, influences)
    sizes = np.array([len(group) for group in groups])
    share = np.repeat(np.divide(weights, sizes), sizes)
    total = share @ covariances @ share
    for weight, place, size in zip(weights, np.cumsum([0, *sizes[:-1]]), sizes, strict=True):
        if size > 1:
            own = covariances[place : place + size, place : place + size]
            together = (own.sum() - np.trace(own)) / (size * (size - 1))
            total += weight**2 * (together - own.mean())
    return max(float(total), 0.0)


# What tables are made from; both kinds have the same methods.
Result = Analysis | Bootstrap


def analyse(predictions: Predictions, decisions: np.ndarray, settings: EvaluationSettings) -> Result:
    """Metrics of a network's scores, with `decisions` (N, P), by the method that `settings.interval` names."""
    if settings.interval != "analytic":
        return bootstrap(predictions, decisions, settings)
    return Analysis(
        (Part(1.0, (network_estimates(predictions, decisions, settings.confidence),)),), settings.confidence
    )


def mean_over_seeds(results: Sequence[Result]) -> Result:
    """The mean over trainings of one method, all on the same patients."""
    first = results[0]
    if isinstance(first, Bootstrap):
        return Bootstrap.mean(results)
    networks = tuple(network for result in results for network in result.parts[0].networks)
    return replace(first, parts=(replace(first.parts[0], networks=networks),))


def over_same_labels(results: Mapping[str, Mapping[int, Result]]) -> dict[str, dict[int, Result]]:
    """Runs by model and seed whose macro means are all over the labels that are defined in every one of them."""
    runs = [result for seeds in results.values() for result in seeds.values()]
    labels = {metric: np.all([run.labels(metric) for run in runs], axis=0) for metric in PER_PATHOLOGY}
    return {model: {seed: run.over(labels) for seed, run in seeds.items()} for model, seeds in results.items()}


def network_estimates(scores: Predictions, decisions: np.ndarray, confidence: float) -> Network:
    """Estimates of every metric of PER_PATHOLOGY by label, of their macro means, and of all labels pooled."""
    size = int(scores.patients.max()) + 1 if len(scores.patients) else 0
    n, p = scores.labels.shape

    def estimates(cells: Predictions, called: np.ndarray) -> dict[str, Estimate]:
        return label_estimates(
            cells.labels, cells.logits, cells.probabilities, called, cells.patients, size, confidence, cells.folds
        )

    each = [estimates(_label(scores, j), decisions[:, j]) for j in range(p)]
    columns = {metric: [label[metric] for label in each] for metric in PER_PATHOLOGY}
    labels = {metric: np.array([not np.isnan(one.value) for one in ones], bool) for metric, ones in columns.items()}
    flat = (part.ravel() for part in (scores.labels, scores.logits, scores.probabilities))
    folds = None if scores.folds is None else np.repeat(scores.folds, p)
    pooled = estimates(Predictions(*flat, np.repeat(scores.patients, p), np.arange(n * p), folds), decisions.ravel())
    micro = {f"{metric}_micro": pooled[metric] for metric in PER_PATHOLOGY if metric != "brier"}
    overall = micro | {"accuracy": pooled["accuracy"]}
    return Network(columns, overall, labels, confidence).over(labels)


def label_estimates(
    labels: np.ndarray,
    logits: np.ndarray,
    probabilities: np.ndarray,
    called: np.ndarray,
    patients: np.ndarray,
    size: int,
    confidence: float,
    folds: np.ndarray | None = None,
) -> dict[str, Estimate]:
    """Every metric of one label's cases (N,), unknown ones left out; patients (N,): numbers below `size`.

    folds (N,): cases are ranked within their fold alone.
    """
    known = ~np.isnan(labels)
    positive, logits, called, patients = labels[known] == 1, logits[known], called[known], patients[known]
    errors = (probabilities[known] - positive) ** 2
    ranked = (positive, logits, patients, size, confidence)
    parts = np.zeros(len(positive), int) if folds is None else folds[known]
    found = {
        "roc_auc": intervals.within_folds(intervals.auroc, *ranked, parts),
        "average_precision": intervals.within_folds(intervals.average_precision, *ranked, parts),
    }
    kinds = [len(np.unique(patients[kind])) for kind in (positive, ~positive)]
    few = intervals.few_patients(*kinds)
    # Of one kind alone, whatever there is of the other.
    few_of_kind = {"sensitivity": intervals.few_patients(kinds[0], None)}
    few_of_kind |= {"recall": few_of_kind["sensitivity"], "specificity": intervals.few_patients(None, kinds[1])}
    # Without a positive, F1 and precision could only be 0: that says nothing of the model.
    calls = called & positive.any()
    correct, everyone = called == positive, np.ones(len(positive), bool)
    for metric, hits, among in (
        ("f1", positive & called, positive | calls),
        ("precision", positive, calls),
        ("recall", called, positive),
        ("sensitivity", called, positive),
        ("specificity", correct, ~positive),
        ("accuracy", correct, everyone),
    ):
        function = intervals.f1 if metric == "f1" else intervals.proportion
        estimate = function(hits[among], patients[among], size, confidence)
        found[metric] = replace(estimate, reason=estimate.reason or few_of_kind.get(metric, few))
    found["brier"] = intervals.mean_error(errors, positive, patients, size, confidence)
    return found


def _label(scores: Predictions, j: int) -> Predictions:
    parts = (part[:, j] for part in (scores.labels, scores.logits, scores.probabilities))
    return Predictions(*parts, scores.patients, scores.units, scores.folds)


def _macro(metric: str, estimates: Sequence[Estimate], chosen: np.ndarray, confidence: float) -> Estimate:
    used = [estimate for estimate, taken in zip(estimates, chosen, strict=True) if taken]
    if not used:
        size = len(estimates[0].influence) if estimates else 0
        return intervals.undefined(size, "no label is defined")
    mean = intervals.mean_of(used, confidence)
    if metric == "average_precision":
        # The average precision of very few patients is not only uncertain but too high: no interval mends that.
        return replace(mean, reason=next((each.reason for each in used if each.reason), ""))
    return mean
