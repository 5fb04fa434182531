"""A MONAI bundle: MONAI's own runner takes scans from files to scores, without this package.

The network is the torch.export program, so that it needs no class of ours; the transforms are those that
`volumes/resample.py` equals, with a transpose at the end, as MONAI's arrays are (x, y, z) and ours (z, y, x).
"""

import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nibabel
import numpy as np

from hounsfield.errors import ExportError
from hounsfield.exports.check import Check
from hounsfield.exports.program import write_program
from hounsfield.exports.trained import INPUT, POINT, Trained
from hounsfield.files import atomic_write
from hounsfield.tables import read_table, write_table
from hounsfield.volumes.preprocess import reading_settings
from hounsfield.volumes.read import read_volume
from hounsfield.volumes.settings import AIR_HU, PreprocessingSettings

NAME = "monai"
# Of a probability. MONAI resamples in float64 and we in float32, so that where HU are rounded some differ by one.
TOLERANCE = 0.001
RUN = "import json, sys; from monai.bundle import run; run(**json.loads(sys.argv[1]))"
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
# MONAI acts on these signs wherever they stand in a configuration.
INERT = str.maketrans("@%$#", "＠％＄＃")
LICENCE = """No licence has been chosen for these weights.

Whoever trained them, and whoever owns the data that they were trained on, decide who may use them.
Put the licence's text here before you pass the bundle on.
"""


def export(trained: Trained, folder: Path, check: Check) -> np.ndarray:
    """Write the bundle monai/, and return the scores (N, P) that MONAI's runner gives the scans' files.

    Raises ExportError if the architecture cannot be traced, MONAI has no transform for the settings, or its run fails.
    """
    if trained.preprocessing.antialias:
        raise ExportError("monai: MONAI has no transform like preprocessing.antialias; leave this format out")
    bundle = folder / NAME
    write_bundle(trained, bundle)
    with TemporaryDirectory(dir=folder, prefix=".scans-") as temporary:
        scans = Path(temporary) / "scans"
        scans.mkdir()
        place_scans(check, scans)
        table = run_bundle(bundle, scans, Path(temporary) / "scores.tsv")
    return table[trained.pathologies].to_numpy()


def write_bundle(trained: Trained, bundle: Path) -> None:
    """All of the bundle but docs/README.md. Raises ExportError or OSError."""
    texts = {
        "configs/metadata.json": json.dumps(bundle_metadata(trained), indent=2) + "\n",
        "configs/inference.json": json.dumps(inference_config(trained.preprocessing), indent=2) + "\n",
        "LICENSE": LICENCE,
    }
    for name, text in texts.items():
        with atomic_write(bundle / name) as partial:
            partial.write_text(text, encoding="utf-8")
    write_table(trained.points[POINT].rename_axis("pathology").reset_index(), bundle / "configs/operating_points.tsv")
    write_program(trained, bundle / "models/model.pt2")


def inference_config(preprocessing: PreprocessingSettings) -> dict[str, Any]:
    """configs/inference.json: `run` scores each NIfTI file of `dataset_dir` and writes the table `output_file`."""
    keys = {"keys": "image"}
    spacing = {"pixdim": list(preprocessing.spacing[::-1]), "mode": "bilinear", "padding_mode": "border"}
    transforms = [
        {"_target_": "LoadImaged", **keys},
        {"_target_": "EnsureChannelFirstd", **keys},
        {"_target_": "Orientationd", **keys, "axcodes": "LPS", "labels": None},
        {"_target_": "Spacingd", **keys, **spacing, "align_corners": False},
        {
            "_target_": "ResizeWithPadOrCropd",
            **keys,
            "spatial_size": list(preprocessing.shape[::-1]),
            "constant_values": AIR_HU,
        },
        {"_target_": "Transposed", **keys, "indices": [0, 3, 2, 1]},
        {"_target_": "EnsureTyped", **keys, "dtype": "$torch.float32"},
    ]
    program = {"_target_": "torch.export.load", "f": "$@bundle_root + '/models/model.pt2'"}
    points = "pandas.read_csv(@bundle_root + '/configs/operating_points.tsv', sep='\\t', keep_default_na=False)"
    probabilities = "@inferer(scan['image'].as_tensor().to(@device), @network)[0].tolist()"
    return {
        "imports": ["$import glob", "$import pandas", "$import torch"],
        "bundle_root": ".",
        "dataset_dir": "$@bundle_root + '/scans'",
        "output_file": "$@bundle_root + '/scores.tsv'",
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "program": {"_target_": "torch.export.passes.move_to_device_pass", "ep": program, "location": "@device"},
        "network_def": {"_target_": "torch.export.unflatten", "module": "@program"},
        "network": "$@network_def.to(@device)",
        "preprocessing": {"_target_": "Compose", "transforms": transforms},
        "datalist": "$[{'image': path} for path in sorted(glob.glob(@dataset_dir + '/*.nii*'))]",
        "dataset": {"_target_": "Dataset", "data": "@datalist", "transform": "@preprocessing"},
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1, "num_workers": 0},
        "inferer": {"_target_": "SimpleInferer"},
        "pathologies": f"${points}['pathology'].tolist()",
        "scores": f"$[scan['image'].meta['filename_or_obj'] + {probabilities} for scan in @dataloader]",
        "initialize": ["$torch.set_grad_enabled(False)"],
        "run": [
            "$pandas.DataFrame(@scores, columns=['scan'] + @pathologies).to_csv(@output_file, sep='\\t', index=False)"
        ],
    }


def bundle_metadata(trained: Trained) -> dict[str, Any]:
    """configs/metadata.json, by MONAI's bundle specification; exact names are in operating_points.tsv."""
    names = {str(index): name.translate(INERT) for index, name in enumerate(trained.pathologies)}
    image = {
        "type": "image",
        "format": "hounsfield",
        "modality": "CT",
        "num_channels": 1,
        "spatial_shape": list(trained.preprocessing.shape),
        "dtype": "float32",
        "value_range": [-1024, 3071],
        "is_patch_data": False,
        "channel_def": {"0": INPUT},
    }
    scores = {
        "type": "probabilities",
        "format": "classification",
        "num_channels": len(names),
        "spatial_shape": [1],
        "dtype": "float32",
        "value_range": [0, 1],
        "is_patch_data": False,
        "channel_def": names,
    }
    return {
        "schema": "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json",
        "version": "1.0.0",
        "changelog": {"1.0.0": "as trained"},
        **{f"{name}_version": metadata.version(name) for name in ("monai", "numpy")},
        "pytorch_version": metadata.version("torch").partition("+")[0],
        "required_packages_version": {name: metadata.version(name) for name in ("nibabel", "pandas")},
        "task": "Classification of findings in CT volumes",
        "description": "Probabilities of findings in a CT volume; docs/README.md is the model card",
        "authors": "not stated",
        "copyright": "not stated",
        "intended_use": "research; no medical device",
        "network_data_format": {"inputs": {"image": image}, "outputs": {"pred": scores}},
    }


def place_scans(check: Check, folder: Path) -> None:
    """The scans of `check` as 0000.nii.gz and so on: NIfTI that says its HU by itself as it is, others rewritten."""
    for number, row in enumerate(check.rows.to_dict("records")):
        path, settings = Path(row["path"]), reading_settings(row)
        suffix = next((end for end in (".nii.gz", ".nii") if path.name.lower().endswith(end)), None)
        if suffix and row["hu_source"] == "header" and settings["spacing"] is None:
            (folder / f"{number:04d}{suffix}").symlink_to(path.absolute())
            continue
        volume = read_volume(path, **settings)
        affine = LPS_TO_RAS @ volume.affine
        affine[:3, :3] = affine[:3, 2::-1]  # its columns are the steps along x, y, z
        nibabel.save(nibabel.Nifti1Image(volume.hu.transpose(2, 1, 0), affine), folder / f"{number:04d}.nii.gz")


def run_bundle(bundle: Path, scans: Path, output: Path) -> Any:
    """The table that MONAI's runner, in a process of its own on the CPU, makes of a folder. Raises ExportError."""
    arguments = {
        "config_file": str(bundle / "configs/inference.json"),
        "meta_file": str(bundle / "configs/metadata.json"),
        "bundle_root": str(bundle),
        "dataset_dir": str(scans),
        "output_file": str(output),
    }
    done = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        check=False,
    )
    if done.returncode or not output.exists():
        lines = done.stdout.strip().splitlines() or ["no word"]
        cause = next((line for line in lines if re.match(r"[\w.]*(Error|Exception)\b", line)), lines[-1])
        raise ExportError(f"monai: MONAI's runner failed: {cause[:300]}")
    return read_table(output, ["scan"])
