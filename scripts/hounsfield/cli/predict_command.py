"""Score new scans with trained models: `hounsfield predict --model best.pth --input FOLDER --output scores.tsv`."""

import argparse
import logging
import os
import sys
import time
from pathlib import Path

import pandas as pd

from hounsfield.devices import lease_devices
from hounsfield.errors import HounsfieldError
from hounsfield.explain.findings import explain_findings
from hounsfield.files import working_folder
from hounsfield.inference.findings import read_networks, score_volumes, with_points
from hounsfield.inference.scans import NO_SCAN, find_scans, refused_scans
from hounsfield.tables import write_table
from hounsfield.volumes.preprocess import preprocess_shard
from hounsfield.volumes.settings import PreprocessingSettings
from hounsfield.volumes.store import VolumeStore

EXAMPLE = "example: hounsfield predict --model results/mine/models/resnet/seed0/best.pth"
EXAMPLE += " --input /data/new --output scores.tsv"

log = logging.getLogger(__name__)


def main(arguments: list[str] | None = None) -> int:
    """Write the scores; 0 if every scan has some, 1 if some were refused, 2 if nothing could be done."""
    parser = argparse.ArgumentParser(prog="hounsfield predict", description=__doc__, epilog=EXAMPLE)
    parser.add_argument("--model", type=Path, nargs="+", required=True, help="best.pth; of several, the mean is taken")
    parser.add_argument("--input", type=Path, nargs="+", required=True, help="files, or folders to look through")
    parser.add_argument("--output", type=Path, required=True, help="TSV: a row a scan and pathology")
    parser.add_argument("--operating-points", type=Path, help="thresholds of several models, or of one that was moved")
    parser.add_argument("--explain", type=Path, metavar="FOLDER", help="draw there where each finding is seen")
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
    return int((refused["reason"] != NO_SCAN).any())


def refused_path(output: Path) -> Path:
    """Where the refused scans are named, beside the scores."""
    return output.with_name(f"{output.stem}.refused.tsv")


def predict(options: argparse.Namespace) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables of findings, a row a scan and pathology, and of what was refused. Raises HounsfieldError or OSError."""
    networks, thresholds = with_points(read_networks(options.model), options.operating_points)
    settings = PreprocessingSettings.from_config(networks[0].content["preprocessing"])
    with working_folder(options.output.absolute().parent, ".volumes-") as temporary:
        rows, refused = find_scans(options.input, options.hu)
        store = VolumeStore(options.store or temporary)
        started = time.perf_counter()
        stored = preprocess_shard(rows, store, settings, options.threads)
        read = time.perf_counter()
        refused = pd.concat([refused, refused_scans(rows, stored)], ignore_index=True)
        volumes = stored[stored["reason"].isna()]
        with lease_devices(1):
            scores = score_volumes(networks, thresholds, volumes, store, options.threads)
            scored = time.perf_counter()
            if options.explain:
                explain_findings(options.model, scores, volumes, store, options.explain, options.threads)
    log.info(
        "seconds a scan: %.2f read and preprocessed, %.2f scored by %d networks, on %d threads",
        (read - started) / max(len(rows), 1),
        (scored - read) / max(len(volumes), 1),
        len(networks),
        options.threads,
    )
    return scores, refused


if __name__ == "__main__":
    sys.exit(main())
