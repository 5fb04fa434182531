"""Tables and lists with damaged bytes: a manifest, or one line that says what is wrong; nothing else."""

import random
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
import yaml

from hounsfield.errors import HounsfieldError

PIECES = [
    b"\x00",
    b"\xff\xfe",
    b'"',
    b'""',
    b",",
    b"\t",
    b"\n",
    b"\r",
    b"\r\n",
    b"\\",
    b"/",
    b"../",
    b"\x1b[31m",
    b"=1+1",
]
PIECES += [
    b"nan",
    b"-inf",
    b"1e999",
    b"9" * 400,
    b"VolumeName",
    b"train_1_a_1",
    b"\xe2\x80\xae",
    b"{",
    b"*",
    b": ",
    b"- ",
]


def mutated(content: bytes, draw: random.Random) -> bytes:
    """`content` with one to four of its places overwritten, cut, doubled or filled with what breaks parsers."""
    for _ in range(draw.randint(1, 4)):
        place = draw.randrange(len(content) + 1)
        end = min(len(content), place + draw.randint(0, 40))
        middle = draw.choice([b"", content[place:end] * 2, draw.choice(PIECES), draw.randbytes(draw.randint(1, 4))])
        content = content[:place] + middle + content[end:]
    return content if draw.random() > 0.1 else content[: draw.randrange(len(content) + 1)]


@pytest.fixture
def inputs(site):
    """The files of a sound cohort by the kind of their damage, and what `site.build` is told of them."""
    rows = site.patients(6)
    site.table("labels.csv", rows)
    metadata = [
        {"VolumeName": row["VolumeName"], "PatientSex": "F", "ZSpacing": "1.5", "XYSpacing": "[0.7, 0.8]"}
        for row in rows
    ]
    metadata = Path(site.table("metadata.csv", metadata))
    excel, listed, mapping = (site.folder / name for name in ("labels.xlsx", "heads.txt", "mapping.yaml"))
    pd.DataFrame(rows).to_excel(excel, index=False)
    listed.write_text("train_3_a_1.nii.gz\ntrain_3_a_2\n")
    mapping.write_text(
        yaml.safe_dump({"name": "own", "version": 1, "labels": {"nodule": ["nodule"], "effusion": ["effusion"]}})
    )
    told = {"metadata": [str(metadata)], "subgroups": {"sex": "PatientSex"}, "exclude": [str(listed)]}
    told["max_excluded_fraction"] = 1
    files = {"csv": (site.folder / "labels.csv", {}), "metadata": (metadata, {}), "list": (listed, {})}
    files["excel"] = excel, {"labels": [str(excel)]}
    files["mapping"] = mapping, {"label_mapping": str(mapping)}
    return {kind: (path, told | changes) for kind, (path, changes) in files.items()}


@pytest.mark.parametrize(
    "kind, count", [("csv", 400), ("metadata", 400), ("list", 100), ("excel", 60), ("mapping", 200)]
)
def test_mutated_files(site, inputs, kind, count):
    path, told = inputs[kind]
    sound, draw, outcomes = path.read_bytes(), random.Random(kind), Counter()
    assert len(site.build(**told).volumes) == 10
    for _ in range(count):
        path.write_bytes(mutated(sound, draw))
        try:
            manifest = site.build(**told)
        except HounsfieldError as error:
            assert "\n" not in str(error) and "\x1b" not in str(error), repr(str(error))
            outcomes["refused"] += 1
        else:
            assert set(manifest.volumes["split"]) <= {"train", "val", "test"}
            assert manifest.volumes[["nodule", "effusion"]].isin([0, 1, None]).all(axis=None)
            outcomes["usable"] += 1
    assert outcomes["usable"] + outcomes["refused"] == count and outcomes["refused"]
