"""A trained network for other tools: `hounsfield export --model best.pth --output FOLDER`."""

import argparse
import logging
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from hounsfield.errors import ExportError, HounsfieldError
from hounsfield.exports.check import make_check, validation_rows
from hounsfield.exports.facts import read_facts
from hounsfield.exports.run import export_model
from hounsfield.exports.settings import FORMATS, ExportSettings
from hounsfield.exports.trained import load_trained
from hounsfield.inference.findings import read_networks, with_points
from hounsfield.inference.scans import find_scans
from hounsfield.layout import trained_of
from hounsfield.volumes.store import VolumeStore

EXAMPLE = "example: hounsfield export --model results/mine/models/resnet/seed0/best.pth"
EXAMPLE += " --output exported --formats onnx,card"

log = logging.getLogger(__name__)


def main(arguments: list[str] | None = None) -> int:
    """Write the formats, each compared with PyTorch; 0 if all agree, 2 if nothing was exported."""
    parser = argparse.ArgumentParser(prog="hounsfield export", description=__doc__, epilog=EXAMPLE)
    parser.add_argument("--model", type=Path, required=True, help="best.pth or final.pth")
    parser.add_argument("--output", type=Path, required=True, help="a new folder")
    parser.add_argument("--formats", default=",".join(FORMATS), help="some of %(default)s")
    parser.add_argument("--input", type=Path, nargs="+", help="scans to compare on; else the run's validation split")
    parser.add_argument("--volumes", type=int, default=ExportSettings.volumes, help="of that split, how many")
    parser.add_argument("--operating-points", type=Path, help="the table of the model's thresholds, if it was moved")
    parser.add_argument("--store", type=Path, help="store of the run's volumes, so that none is preprocessed again")
    parser.add_argument("--hu", choices=["auto", "header"], default="auto", help="where the HU of --input come from")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="CPU cores to use")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    try:
        agreement = export(options)
    except (HounsfieldError, OSError) as error:
        log.error("%s", error)
        return 2
    log.info("%s: %s", options.output, ", ".join(agreement["format"]) or "the card")
    return 0


def export(options: argparse.Namespace) -> pd.DataFrame:
    """The table of agreement; everything is in the folder `options.output`. Raises HounsfieldError or OSError."""
    formats = tuple(name.strip() for name in options.formats.split(","))
    settings = ExportSettings.from_config({"formats": formats, "volumes": options.volumes})
    (network,), _ = with_points(read_networks([options.model]), options.operating_points)
    trained = load_trained(options.model, network.points)
    with TemporaryDirectory(prefix="hounsfield-") as temporary:
        rows = scans(options, settings.volumes)
        check = make_check(trained, rows, VolumeStore(options.store or temporary), options.threads)
        return export_model(trained, check, read_facts(options.model), settings.formats, options.output)


def scans(options: argparse.Namespace, count: int) -> pd.DataFrame:
    """Rows of the scans to compare on. Raises TableError or ExportError if there are none."""
    if options.input:
        rows, refused = find_scans(options.input, options.hu)
        for row in refused.itertuples():
            log.warning("%s: %s: %s", row.path, row.reason, row.detail)
        return rows
    trained = trained_of(options.model)
    if trained is None:
        raise ExportError(f"{options.model}: lies in no run's folder; give scans to compare on with --input")
    return validation_rows(trained.run, count)


if __name__ == "__main__":
    sys.exit(main())
