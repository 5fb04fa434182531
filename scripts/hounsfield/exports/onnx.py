"""ONNX, run with onnxruntime."""

import json
import logging
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from hounsfield.errors import ExportError, one_line
from hounsfield.exports.check import Check
from hounsfield.exports.trained import INPUT, OUTPUT, Trained
from hounsfield.files import atomic_write

NAME = "model.onnx"
TOLERANCE = 1e-4  # of a probability; onnxruntime adds float32 up in another order


def export(trained: Trained, folder: Path, check: Check) -> np.ndarray:
    """Write model.onnx, and return its scores (N, P). Raises ExportError if the architecture cannot be expressed."""
    for name in ("torch.onnx", "onnx_ir", "onnxscript"):
        logging.getLogger(name).setLevel(logging.ERROR)  # they tell of every node
    try:
        program = torch.onnx.export(
            trained.program, dynamo=True, verbose=False, input_names=[INPUT], output_names=[OUTPUT]
        )
    except torch.onnx.errors.OnnxExporterError as error:
        raise ExportError(f"{trained.architecture}: cannot be written as ONNX ({one_line(error)})") from error
    texts = {name: json.dumps(value) for name, value in trained.description().items()}
    program.model.metadata_props.update(texts)
    path = folder / NAME
    with atomic_write(path) as partial:
        program.save(partial, external_data=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return check.score(trained, lambda hu: session.run([OUTPUT], {INPUT: hu})[0])
