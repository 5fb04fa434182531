"""Score new scans with a trained model: `hounsfield predict --model best.pth --input FOLDER --output scores.tsv`."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from hounsfield.cohort.files import find_files
from hounsfield.cohort.sources import volume_name
from hounsfield.errors import HounsfieldError, TableError
from hounsfield.tables import read_table, write_table
from hounsfield.training.checkpoints import load_checkpoint
from hounsfield.training.devices import lease_devices
from hounsfield.training.predict import predict_split
from hounsfield.training.settings import TrainingSettings
from hounsfield.volumes.header import identity
from hounsfield.volumes.preprocess import preprocess_shard
from hounsfield.volumes.settings import PreprocessingSettings
from hounsfield.volumes.store import VolumeStore
from hounsfield.volumes.volume import VolumeError

log = logging.getLogger(__name__)

COLUMNS = ["volume", "pathology", "probability", "threshold", "finding"]
REFUSED = ["volume", "path", "reason", "detail"]
UNKNOWN = ("slope", "intercept", "spacing_z", "spacing_y", "spacing_x")


def main(arguments: list[str] | None = None) -> int:
    """Write the scores; 0 if every scan has some, 1 if scans were refused, 2 if nothing could be done."""
    parser = argparse.ArgumentParser(prog="hounsfield predict", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="best.pth or final.pth")
    parser.add_argument("--input", type=Path, nargs="+", required=True, help="files, or folders to look through")
    parser.add_argument("--output", type=Path, required=True, help="TSV: a row a scan and pathology")
    parser.add_argument("--operating-points", type=Path, help="the table of the model's thresholds, if it was moved")
    parser.add_argument("--store", type=Path, help="keep the preprocessed volumes there; a later run finds them")
    parser.add_argument("--hu", choices=["auto", "header"], default="auto", help="where HU come from")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="CPU cores to use")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    try:
        scores, refused = predict(options)
        write_table(scores, options.output)
        write_table(refused, refused_path(options.output))
    except (HounsfieldError, OSError) as error:
        log.error("%s", error)
        return 2
    log.info("%d scans scored: %s", scores["volume"].nunique(), options.output)
    if len(refused):
        log.warning("%d refused: %s", len(refused), refused_path(options.output))
    return int(len(refused) > 0)


def refused_path(output: Path) -> Path:
    """Where the refused scans are named, beside the scores."""
    return output.with_name(f"{output.stem}.refused.tsv")


def predict(options: argparse.Namespace) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables COLUMNS, a row a scan and pathology, and REFUSED, a row a scan. Raises HounsfieldError or OSError."""
    content = load_checkpoint(options.model)
    points = operating_points(options.operating_points, options.model, content.get("pathologies", []))
    rows, refused = find_scans(options.input, options.hu)
    with TemporaryDirectory(dir=options.output.absolute().parent, prefix=".volumes-") as temporary:
        store = VolumeStore(options.store or temporary)
        settings = PreprocessingSettings.from_config(content["preprocessing"])
        stored = preprocess_shard(rows, store, settings, options.threads)
        read = stored["reason"].isna()
        named = stored[~read].merge(rows[["volume", "path"]], on="volume")
        refused = pd.concat([refused, named[REFUSED]], ignore_index=True)
        if not read.any():
            return pd.DataFrame(columns=COLUMNS), refused
        dataset = stored.loc[read, ["volume", "key"]].assign(scan="", patient="", **unlabelled(content["pathologies"]))
        training = TrainingSettings.from_config(content.get("inference", {}))
        with lease_devices(1):
            logits = predict_split(options.model, dataset, store, training, content["preprocessing"], options.threads)
    return as_findings(logits, points), refused


def unlabelled(pathologies: Sequence[str]) -> dict[str, float]:
    """Labels of scans that have none."""
    return dict.fromkeys(pathologies, np.nan)


def find_scans(inputs: Sequence[Path], hu: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows for `preprocess_shard` of each scan, and REFUSED of those that are not there. Raises TableError for none."""
    paths: dict[str, str] = {}
    for path in inputs:
        found = find_files(path)[0] if path.is_dir() else {volume_name(path.name): str(path)}
        for name, place in found.items():
            paths[name if name not in paths else place] = place  # two of one name keep their paths apart
    if not paths:
        raise TableError(f"{inputs[0]}: no scan in it; give a file, or a folder with NIfTI, DICOM, NRRD or npz")
    rows, refused = [], []
    for name, path in sorted(paths.items()):
        try:
            row: dict[str, Any] = {"volume": name, "path": path, "identity": identity(path, "/"), "hu": hu}
        except VolumeError as error:
            refused.append([name, path, error.reason, error.detail])
        else:
            rows.append(row | dict.fromkeys(UNKNOWN, np.nan))
    columns = ["volume", "path", "identity", "hu", *UNKNOWN]
    return pd.DataFrame(rows, columns=columns), pd.DataFrame(refused, columns=REFUSED)


def operating_points(table: Path | None, model: Path, pathologies: Sequence[str]) -> pd.DataFrame:
    """scale, offset and threshold by pathology; where the workflow left none, plain logits and no threshold."""
    # results/{name}/models/{model}/seed{seed}/best.pth -> results/{name}/metrics/{model}/seed{seed}
    model = model.absolute()
    usual = model.parents[3] / "metrics" / model.parents[1].name / model.parent.name / "operating_points.tsv"
    path = table or usual
    if table is None and not usual.exists():
        log.warning("%s is not there: probabilities are not calibrated, and no finding is called", usual)
        return pd.DataFrame({"scale": 1.0, "offset": 0.0, "threshold": np.nan}, index=list(pathologies))
    points = read_table(path, ["pathology"]).set_index("pathology")
    absent = [name for name in pathologies if name not in points.index]
    if absent:
        raise TableError(f"{path}: has no row for {absent[0]!r}; give the table of this model")
    return points


def as_findings(logits: pd.DataFrame, points: pd.DataFrame) -> pd.DataFrame:
    """COLUMNS of a table of volumes and `logit {pathology}`; finding is 1, 0, or empty without a threshold."""
    parts = []
    for name, point in points.iterrows():
        probability = expit(point["scale"] * logits[f"logit {name}"].to_numpy(np.float64) + point["offset"])
        called = np.where(np.isnan(point["threshold"]), np.nan, probability >= point["threshold"])
        columns = {"probability": probability, "threshold": point["threshold"]}
        finding = pd.array(called, dtype="Int64")
        parts.append(logits[["volume"]].assign(pathology=name, **columns, finding=finding))
    return pd.concat(parts).sort_values("volume", kind="stable", ignore_index=True)[COLUMNS]


if __name__ == "__main__":
    sys.exit(main())
