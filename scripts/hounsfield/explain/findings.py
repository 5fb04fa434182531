"""Pictures of where networks look for the findings that they call present in new scans."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from hounsfield.explain.saliency import TrainedNetwork, draw_examples
from hounsfield.explain.settings import ExplainSettings
from hounsfield.volumes.store import VolumeStore


def explain_findings(
    models: Sequence[str | os.PathLike],
    findings: pd.DataFrame,
    volumes: pd.DataFrame,
    store: VolumeStore,
    folder: Path,
    threads: int = 1,
) -> None:
    """A picture of each finding called present, and index.tsv, which names them.

    findings: volume, pathology, probability, threshold, finding; volumes: volume and key. Of several networks the mean
    of the maps is drawn, each of which reaches from 0 to 1. Raises CheckpointError or StoreError.
    """
    torch.set_num_threads(threads)
    settings = ExplainSettings()
    networks = [TrainedNetwork(path, volumes, store, settings) for path in models]

    def explain(volume: str, pathology: str) -> tuple[np.ndarray, np.ndarray, str]:
        parts = [network.explain(volume, pathology) for network in networks]
        heat = np.mean([part[1] for part in parts], axis=0)
        method = " and ".join(dict.fromkeys(part[2] for part in parts))
        return parts[0][0], heat / max(heat.max(), np.finfo(heat.dtype).tiny), method

    called = findings.loc[findings["finding"] == 1, ["pathology", "volume", "probability", "threshold"]]
    draw_examples(called, explain, networks[0].preprocessing.spacing, settings, folder)
