"""From logits to findings: probabilities, calibrated and averaged, and thresholds."""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from hounsfield.errors import CheckpointError, TableError
from hounsfield.inference.scans import FINDINGS
from hounsfield.layout import trained_of
from hounsfield.tables import read_table
from hounsfield.training.checkpoints import load_trained_content
from hounsfield.training.predict import predict_split
from hounsfield.training.settings import TrainingSettings
from hounsfield.volumes.store import VolumeStore

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Network:
    """A checkpoint with its content, and scale, offset and threshold by pathology; these are None if not known."""

    path: Path
    content: dict[str, Any]
    points: pd.DataFrame | None

    @property
    def pathologies(self) -> list[str]:
        """What the network was trained on."""
        return self.content["pathologies"]


def read_networks(paths: Sequence[str | os.PathLike]) -> list[Network]:
    """The networks whose mean probability is taken, each with the operating points that its run left beside it.

    Raises CheckpointError if they do not go together, TableError if only some have operating points.
    """
    networks = []
    for path in map(Path, paths):
        content = load_trained_content(path)
        usual = usual_points(path)
        points = read_points(usual, content["pathologies"]) if usual.exists() else None
        networks.append(Network(path, content, points))
        for key in ("pathologies", "preprocessing"):
            if content[key] != networks[0].content[key]:
                raise CheckpointError(f"{path} and {networks[0].path} differ in their {key}; give networks of one kind")
    known = [network for network in networks if network.points is not None]
    if 0 < len(known) < len(networks):
        lone = next(network for network in networks if network.points is None)
        raise TableError(f"{usual_points(lone.path)}: is missing, and {known[0].path} has one; give it its table back")
    return networks


def usual_points(model: Path) -> Path:
    """Where the run of a checkpoint leaves its operating points; beside a checkpoint that lies in no run."""
    trained = trained_of(model)
    if trained is None:
        return model.with_name("operating_points.tsv")
    return trained.run.metrics(trained.model, trained.seed, "operating_points")


def read_points(path: str | os.PathLike, pathologies: Sequence[str]) -> pd.DataFrame:
    """scale, offset and threshold, a row a pathology. Raises TableError if one has no row."""
    points = read_table(path, ["pathology"]).set_index("pathology")
    absent = [name for name in pathologies if name not in points.index]
    if absent:
        raise TableError(f"{path}: has no row for {absent[0]!r}; give the table of this model")
    return points.loc[list(pathologies)]


def with_points(networks: Sequence[Network], table: Path | None) -> tuple[list[Network], pd.Series]:
    """The networks, each with operating points, and the threshold on their mean probability by pathology.

    table: of a single network, the operating points in the place of those beside it; of several, their common
    thresholds, without which none is known: the mean of theirs would be no choice at all. Raises TableError.
    """
    pathologies, several = networks[0].pathologies, len(networks) > 1
    plain = pd.DataFrame({"scale": 1.0, "offset": 0.0, "threshold": np.nan}, index=pathologies)
    given = read_points(table, pathologies) if table is not None else None
    if several and given is not None and not given[["scale", "offset"]].eq([1, 0]).all(axis=None):
        raise TableError(f"{table}: is calibrated, so of a single network; give comparison/operating_points/ of a run")
    if given is not None and not several:
        networks = [replace(networks[0], points=given)]
    elif networks[0].points is None:
        log.warning("%s is not there: probabilities are not calibrated", usual_points(networks[0].path))
        networks = [replace(network, points=plain) for network in networks]
    own = plain if several else networks[0].points
    points = own if given is None else given
    assert points is not None  # a network without points has plain ones by now
    thresholds = points["threshold"]
    if thresholds.isna().all():
        log.warning("no threshold is known, so no finding is called; give --operating-points")
    return list(networks), thresholds


def score_volumes(
    networks: Sequence[Network], thresholds: pd.Series, volumes: pd.DataFrame, store: VolumeStore, threads: int
) -> pd.DataFrame:
    """FINDINGS, a row a scan and pathology, of `volumes` (volume, key) in the store; the networks' mean probability."""
    if volumes.empty:
        return pd.DataFrame(columns=FINDINGS)
    dataset = volumes[["volume", "key"]].assign(scan="", patient="")
    members = []
    for network in networks:
        training = TrainingSettings.from_config(network.content.get("inference", {}))
        preprocessing = network.content["preprocessing"]
        logits = predict_split(network.path, dataset, store, training, preprocessing, threads)
        members.append(calibrated_probabilities(logits, network.points))
    return as_findings(dataset["volume"], np.mean(members, axis=0), thresholds)


def calibrated_probabilities(logits: pd.DataFrame, points: pd.DataFrame) -> np.ndarray:
    """Probabilities (N, P) of a table with `logit {pathology}`, in the order of `points`."""
    raw = logits[[f"logit {name}" for name in points.index]].to_numpy(np.float64)
    return expit(points["scale"].to_numpy() * raw + points["offset"].to_numpy())


def as_findings(volumes: pd.Series, probabilities: np.ndarray, thresholds: pd.Series) -> pd.DataFrame:
    """FINDINGS of probabilities (N, P); finding is 1, 0, or empty without a threshold."""
    parts = []
    for (name, threshold), column in zip(thresholds.items(), probabilities.T, strict=True):
        called = pd.array(np.where(np.isnan(threshold), np.nan, column >= threshold), dtype="Int64")
        columns = {"pathology": name, "probability": column, "threshold": threshold, "finding": called}
        parts.append(pd.DataFrame({"volume": volumes.to_numpy()} | columns))
    return pd.concat(parts).sort_values("volume", kind="stable", ignore_index=True)[FINDINGS]
