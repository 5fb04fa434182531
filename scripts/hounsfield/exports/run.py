"""All formats of one network, in a folder that is there whole or not at all."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from hounsfield.errors import ExportError
from hounsfield.exports import bundle, onnx, program, weights
from hounsfield.exports.card import render_card
from hounsfield.exports.check import Check
from hounsfield.exports.facts import RunFacts
from hounsfield.exports.trained import Trained
from hounsfield.files import atomic_write, working_folder
from hounsfield.tables import write_table

log = logging.getLogger(__name__)

COMPARED = {"onnx": onnx, "torch": program, "monai": bundle, "safetensors": weights}
AGREEMENT = ["format", "volumes", "largest_difference", "tolerance"]


def export_model(trained: Trained, check: Check, facts: RunFacts, formats: Sequence[str], folder: Path) -> pd.DataFrame:
    """Write `formats` (of settings.FORMATS) into the new folder `folder`, with agreement.tsv, which is returned.

    Each is read again from disk, and its scores of the scans of `check` are compared with PyTorch's. Raises ExportError
    if one disagrees or cannot be made: then nothing is left. Raises OSError.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ExportError(f"{folder}: holds something; remove it, or name another folder")
    with working_folder(folder.absolute().parent, ".export-") as temporary:
        made = temporary / "export"
        made.mkdir()
        rows = [compare_format(name, trained, check, made) for name in COMPARED if name in formats]
        agreement = pd.DataFrame(rows, columns=AGREEMENT)
        write_table(agreement, made / "agreement.tsv")
        card = render_card(trained, facts, agreement)
        places = {"card": "model_card.md", "monai": f"{bundle.NAME}/docs/README.md"}
        for name in places.keys() & set(formats):
            with atomic_write(made / places[name]) as partial:
                partial.write_text(card, encoding="utf-8")
        os.rename(made, folder)
    return agreement


def compare_format(name: str, trained: Trained, check: Check, folder: Path) -> list:
    """Write one format; its row of AGREEMENT. Raises ExportError beyond the format's tolerance."""
    module = COMPARED[name]
    scores = module.export(trained, folder, check)
    difference = float(np.max(np.abs(scores - check.probabilities)))
    log.info("%s: probabilities within %.2g of PyTorch's", name, difference)
    if not difference <= module.TOLERANCE:  # nan is none either
        raise ExportError(
            f"{name}: probabilities differ from PyTorch's by up to {difference:.2g}, more than {module.TOLERANCE:g};"
            " nothing was exported: leave this format out"
        )
    return [name, len(scores), difference, module.TOLERANCE]
