"""Every architecture in every format: the scores are those of PyTorch, and the files say what they need."""

import json

import nibabel
import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from safetensors import safe_open

from hounsfield.errors import CheckpointError, ExportError
from hounsfield.exports import bundle, onnx, program, weights
from hounsfield.exports.facts import RunFacts
from hounsfield.exports.run import compare_format, export_model
from hounsfield.exports.trained import load_trained
from hounsfield.models.create import architectures
from hounsfield.tables import read_table
from hounsfield.training.checkpoints import load_model
from tests.exports.conftest import PATHOLOGIES, SHAPE, SMALL, make_points, save_network
