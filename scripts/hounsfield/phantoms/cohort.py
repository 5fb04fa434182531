"""A cohort of chest phantoms with CT-RATE's file names and tables, for the demo and for tests."""

import gzip
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from hounsfield.errors import ConfigError, HounsfieldError
from hounsfield.files import atomic_write
from hounsfield.phantoms.anatomy import draw_anatomy
from hounsfield.phantoms.canvas import Canvas
from hounsfield.phantoms.findings import PREVALENCES, paint_chest
from hounsfield.phantoms.scanner import (
    SCANNERS,
    Position,
    Reconstruction,
    add_noise,
    draw_position,
    draw_reconstruction,
    empty_canvas,
    to_nifti,
)
from hounsfield.progress import progress

# Number of each stream of randomness: what is drawn from one never shifts another.
STREAMS = {
    name: rank for rank, name in enumerate(("layout", "person", "chest", "breath", "position", "image", "noise"))
}
LABEL_STREAM = 100
FINDING_STREAM = 200
SECOND_RECONSTRUCTION = 0.15
CHANGE_BETWEEN_SCANS = 0.3
MOST_SCANS = 26


@dataclass(frozen=True)
class PhantomScan:
    """A scan: its patient's number (from 1), its rank there (from 0), its labels, its reconstructions."""

    patient: int
    rank: int
    labels: dict[str, int]
    reconstructions: int

    @property
    def name(self) -> str:
        """Such as train_12_a."""
        return f"train_{self.patient}_{chr(ord('a') + self.rank)}"


def write_phantoms(folder: str | os.PathLike, patients: int, scans: int, seed: int, workers: int = 1) -> None:
    """Write folder/volumes/*.nii.gz, folder/labels.csv and folder/metadata.csv; the tables come last.

    The files depend on `patients`, `scans` and `seed` only. Raises ConfigError for counts that cannot be met,
    and HounsfieldError if the folder already holds volumes of another cohort.
    """
    plan = plan_cohort(patients, scans, seed)
    folder = Path(folder)
    names = {f"{scan.name}_{number}.nii.gz" for scan in plan for number in range(1, scan.reconstructions + 1)}
    strangers = sorted(path.name for path in (folder / "volumes").glob("*.nii.gz") if path.name not in names)
    if strangers:
        raise HounsfieldError(f"{folder / 'volumes'}: already holds {strangers[0]}; give an empty folder")
    with ThreadPoolExecutor(max(workers, 1)) as pool:
        written = pool.map(lambda scan: _write_scan(folder / "volumes", scan, seed), plan)
        rows = [row for rows in progress(written, len(plan), "phantoms") for row in rows]
    labels = [{"VolumeName": name} | scan.labels for scan in plan for name in _volume_names(scan)]
    for table, content in (("labels.csv", labels), ("metadata.csv", rows)):
        with atomic_write(folder / table) as partial:
            pd.DataFrame(content).to_csv(partial, index=False, lineterminator="\n")


def plan_cohort(patients: int, scans: int, seed: int) -> list[PhantomScan]:
    """Who is scanned how often, with which findings; mostly the same from scan to scan of a patient.

    Raises ConfigError if there are fewer scans than patients, or more than 26 a patient.
    """
    if patients < 1 or not patients <= scans <= MOST_SCANS * patients:
        raise ConfigError(
            f"config: demo: {scans} scans of {patients} patients: give each patient 1 to {MOST_SCANS} scans"
        )
    rng = _stream(seed, STREAMS["layout"])
    counts = np.ones(patients, int)
    for _ in range(scans - patients):
        counts[rng.choice(np.flatnonzero(counts < MOST_SCANS))] += 1
    twice = rng.random(scans) < SECOND_RECONSTRUCTION
    places = [(patient, rank) for patient in range(1, patients + 1) for rank in range(counts[patient - 1])]
    return [
        PhantomScan(patient, rank, _draw_labels(seed, patient, rank), 1 + int(two))
        for (patient, rank), two in zip(places, twice, strict=True)
    ]


def paint_scan(scan: PhantomScan, number: int, seed: int) -> tuple[Canvas, Position, Reconstruction]:
    """Reconstruction `number` (from 1) of a scan before its noise; labels change only their findings."""
    key = (scan.patient, scan.rank)
    anatomy = draw_anatomy(_stream(seed, STREAMS["chest"], scan.patient), _stream(seed, STREAMS["breath"], *key))
    position = draw_position(_stream(seed, STREAMS["position"], *key))
    reconstruction = draw_reconstruction(_stream(seed, STREAMS["image"], *key, number))
    canvas = empty_canvas(position, reconstruction, anatomy.diaphragm - 15, anatomy.apex)
    streams = {name: _stream(seed, FINDING_STREAM + i, *key) for i, name in enumerate(PREVALENCES)}
    paint_chest(canvas, anatomy, scan.labels, streams)
    return canvas, position, reconstruction


def _write_scan(folder: Path, scan: PhantomScan, seed: int) -> list[dict]:
    """Write a scan's reconstructions; returns their rows of the metadata table."""
    rows = []
    for number, name in enumerate(_volume_names(scan), 1):
        canvas, position, reconstruction = paint_scan(scan, number, seed)
        noise = _stream(seed, STREAMS["noise"], scan.patient, scan.rank, number)
        image = to_nifti(add_noise(canvas, reconstruction, noise), position, reconstruction)
        with atomic_write(folder / name) as partial:
            # No time stamp: the same seed gives the same bytes.
            partial.write_bytes(gzip.compress(image.to_bytes(), compresslevel=1, mtime=0))
        rows.append({"VolumeName": name} | _describe(scan, seed, canvas, position, reconstruction))
    return rows


def _describe(
    scan: PhantomScan, seed: int, canvas: Canvas, position: Position, reconstruction: Reconstruction
) -> dict[str, object]:
    """CT-RATE's metadata columns; as there, slope and intercept are those of the DICOM, already applied."""
    person = _stream(seed, STREAMS["person"], scan.patient)
    maker, model, soft_kernel, sharp_kernel = SCANNERS[position.scanner]
    slices, rows, columns = canvas.hu.shape
    sex, age, year = "MF"[person.integers(2)], int(person.integers(25, 88)), 2014 + int(person.integers(4))
    return {
        "Manufacturer": maker,
        "SeriesDescription": "Chest lung" if reconstruction.sharp else "Chest soft tissue",
        "ManufacturerModelName": model,
        "PatientSex": sex,
        "PatientAge": f"{age + scan.rank // 2:03d}Y",
        "ReconstructionDiameter": round(columns * reconstruction.pixel, 1),
        "ConvolutionKernel": sharp_kernel if reconstruction.sharp else soft_kernel,
        "PatientPosition": "FFS",
        "Rows": rows,
        "Columns": columns,
        "XYSpacing": f"[{reconstruction.pixel}, {reconstruction.pixel}]",
        "RescaleIntercept": -1024,
        "RescaleSlope": 1,
        "RescaleType": "HU",
        "NumberofSlices": slices,
        "ZSpacing": reconstruction.slice,
        "StudyDate": f"{year + scan.rank // 2}{1 + 6 * (scan.rank % 2):02d}{1 + scan.patient % 28:02d}",
    }


def _draw_labels(seed: int, patient: int, rank: int) -> dict[str, int]:
    """Each finding on its own: the patient's state, drawn anew at some scans, at the same prevalence."""
    labels = {}
    for number, (finding, prevalence) in enumerate(PREVALENCES.items()):
        state = _stream(seed, LABEL_STREAM + number, patient).random() < prevalence
        scan = _stream(seed, LABEL_STREAM + number, patient, rank)
        if scan.random() < CHANGE_BETWEEN_SCANS:
            state = scan.random() < prevalence
        labels[finding] = int(state)
    return labels


def _volume_names(scan: PhantomScan) -> Iterator[str]:
    return (f"{scan.name}_{number}.nii.gz" for number in range(1, scan.reconstructions + 1))


def _stream(seed: int, *key: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))
