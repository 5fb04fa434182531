"""Datasets that the project ships a configuration for, recognised by the columns of their tables."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import yaml

from hounsfield.cohort.files import volume_paths
from hounsfield.user_tables import read_header
from hounsfield.volumes.geometry import is_blank

CONFIGS = Path(__file__).parents[3] / "config"


@dataclass(frozen=True)
class Known:
    """A dataset: its configuration's file, the columns that tell it, and whether a column is a label's."""

    config: str
    columns: frozenset[str]
    is_label: re.Pattern[str]


DATASETS = (
    Known(
        "ct-rate.yaml",
        frozenset({"VolumeName", "Medical material", "Mosaic attenuation pattern"}),
        re.compile("Lung nodule"),
    ),
    Known("rad-chestct.yaml", frozenset({"NoteAcc_DEID"}), re.compile(r".+\*.+")),
    Known("merlin.yaml", frozenset({"study id", "submucosal_edema"}), re.compile("submucosal_edema")),
)


def known_config(folder: str, tables: Sequence[str]) -> str | None:
    """The dataset's configuration with these paths in it; None if no table is one of a known dataset."""
    headers = {path: read_header(path) for path in tables if Path(path).suffix.lower() != ".txt"}
    for dataset in DATASETS:
        labels = [path for path, header in headers.items() if any(map(dataset.is_label.fullmatch, header))]
        known = any(dataset.columns <= set(headers[path]) for path in labels)
        if known and (CONFIGS / dataset.config).is_file():
            metadata = [path for path in headers if path not in labels]
            lists = [path for path in tables if path not in headers]
            paths: dict[str, Any] = {"volumes": folder, "labels": labels, "metadata": metadata, "exclude": lists}
            if dataset.config == "ct-rate.yaml":
                paths |= ct_rate_layout(folder)
            text = (CONFIGS / dataset.config).read_text(encoding="utf-8")
            mapping = yaml.safe_load(text)["cohort"].get("label_mapping")
            if mapping is not None and not Path(mapping).is_file():
                paths["label_mapping"] = str(CONFIGS.parent / mapping)
            return with_values(text, paths)
    return None


def ct_rate_layout(folder: str) -> dict[str, str | None]:
    """`path` and `hu` of the release that lies in `folder`: release 1 has an identity affine, and HU in the tables."""
    first = next(iter(volume_paths(folder)), None)
    if first is None:
        return {}
    below = Path(first).relative_to(folder).parts
    raw = is_blank(nibabel.load(first).affine)  # type: ignore[attr-defined]  # images of patients have one
    split = "{folder}" if below[0] in ("train", "valid") else "{folder}_fixed"
    nested = len(below) == 4
    return {
        "path": f"{split}/{{patient}}/{{scan}}/{{volume}}.nii.gz" if nested else None,
        "hu": "table" if raw else "header",
    }


def with_values(text: str, values: Mapping[str, object]) -> str:
    """`text` with other values of keys of the cohort block; its comments stay."""
    for key, value in values.items():
        flow = yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix("...\n").strip()
        line = f"  {key}: {flow}\n"
        present = re.search(rf"(?m)^  {key}:.*\n(?:    .*\n)*", text)
        if present:
            text = text[: present.start()] + line + text[present.end() :]
        elif value:
            text = text.replace("cohort:\n", f"cohort:\n{line}", 1)
    return text
