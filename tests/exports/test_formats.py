"""Every architecture in every format: the scores are those of PyTorch, and the files say what they need."""

import json
from dataclasses import replace

import numpy as np
import onnx as onnx_package
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from scipy.special import expit

from hounsfield.errors import CheckpointError, ConfigError, ExportError
from hounsfield.exports.facts import RunFacts
from hounsfield.exports.run import compare_format, export_model
from hounsfield.exports.settings import ExportSettings
from hounsfield.exports.trained import load_trained
from hounsfield.exports.weights import load_safetensors
from hounsfield.models.create import architectures
from hounsfield.training.checkpoints import load_model
from hounsfield.training.data import to_hu, to_input


def test_every_architecture_is_tried_here(small_networks):
    assert set(small_networks) == set(architectures())


@pytest.mark.parametrize("architecture", ["densenet3d", "monai_network", "resnet3d", "slices2d", "vit3d"])
def test_scores_are_those_of_pytorch(prepare, tmp_path, architecture):
    trained, check = prepare(architecture, flip=architecture == "vit3d")
    assert len(check.probabilities) == 3 and np.ptp(check.probabilities, axis=0).max() > 1e-3
    for name in ("onnx", "torch"):
        format_, volumes, difference, tolerance = compare_format(name, trained, check, tmp_path)
        assert (format_, volumes) == (name, 3) and 0 <= difference <= tolerance <= 1e-4
    assert (tmp_path / "model.onnx").stat().st_size > 10_000


def test_the_files_describe_themselves(prepare, tmp_path):
    trained, check = prepare()
    export_model(trained, check, RunFacts(), ("onnx", "torch", "safetensors"), tmp_path / "out")
    expected = trained.description()
    assert expected["operating_points"][1]["threshold"] is None
    properties = onnx_package.load(tmp_path / "out/model.onnx").metadata_props
    assert {each.key: json.loads(each.value) for each in properties if each.key in expected} == expected
    extra = {"description.json": ""}
    torch.export.load(tmp_path / "out/model.pt2", extra_files=extra)
    assert json.loads(extra["description.json"]) == expected
    with safe_open(tmp_path / "out/model.safetensors", framework="pt") as file:
        texts = file.metadata()
    assert {name: json.loads(text) for name, text in texts.items() if name != "format"} == expected


def test_safetensors_come_back_in_the_same_bits(prepare, tmp_path):
    trained, check = prepare("resnet3d")
    compare_format("safetensors", trained, check, tmp_path)
    model, description = load_safetensors(tmp_path / "model.safetensors")
    original, content = load_model(tmp_path / "best.pth")
    assert description["pathologies"] == content["pathologies"] and not model.training
    assert list(model.state_dict()) == list(original.state_dict())
    for name, tensor in original.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name


@pytest.mark.parametrize("damage", ["cut", "other", "empty"])
def test_foreign_weights_are_refused(prepare, tmp_path, damage):
    trained, check = prepare()
    path = tmp_path / "model.safetensors"
    compare_format("safetensors", trained, check, tmp_path)
    contents = {"cut": path.read_bytes()[:-100], "other": (tmp_path / "best.pth").read_bytes(), "empty": b""}
    path.write_bytes(contents[damage])
    with pytest.raises(CheckpointError, match=r"model\.safetensors: is no export"):
        load_safetensors(path)


@pytest.mark.parametrize(
    "preprocessing", [{}, {"dtype": "uint8", "window": [-1000, 300]}], ids=["int16", "uint8 in a window"]
)
def test_raw_hu_are_scored_as_their_stored_voxels(prepare, preprocessing):
    trained, _ = prepare(preprocessing=preprocessing)
    random = np.random.default_rng(1)
    hu = random.normal(-200, 700, (2, *trained.preprocessing.shape)).astype(np.float32)
    stored = torch.from_numpy(trained.preprocessing.encode(hu))
    with torch.inference_mode():
        x_BCDHW = to_input(to_hu(stored, trained.preprocessing), trained.content["windows"])
        logits = trained.model(x_BCDHW).double().numpy()
        scores = trained.network(torch.from_numpy(hu)[:, None]).numpy()
    points = trained.points
    np.testing.assert_allclose(scores, expit(logits * points["scale"].values + points["offset"].values), atol=1e-5)


def test_the_mirror_image_is_averaged_in(prepare):
    (plain, _), (flipped, _) = prepare(), prepare(flip=True)
    hu = torch.from_numpy(np.random.default_rng(2).normal(-200, 600, (1, 1, 24, 20, 16)).astype(np.float32))
    with torch.inference_mode():
        one, mirrored, both = (
            torch.logit(net(x)) for net, x in ((plain.network, hu), (plain.network, hu.flip(-1)), (flipped.network, hu))
        )
    torch.testing.assert_close(both, (one + mirrored) / 2, atol=1e-3, rtol=1e-3)
    assert not torch.allclose(one, both, atol=1e-2)


def test_what_disagrees_leaves_nothing(prepare, tmp_path):
    trained, check = prepare()
    out = tmp_path / "place/out"
    for wrong in (check.probabilities + 1e-3, np.full_like(check.probabilities, np.nan)):
        with pytest.raises(ExportError, match="torch: probabilities differ from PyTorch's"):
            export_model(trained, replace(check, probabilities=wrong), RunFacts(), ("torch", "card"), out)
        assert list(out.parent.iterdir()) == []


def test_a_folder_that_holds_something_is_left_alone(prepare, tmp_path):
    trained, check = prepare()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").write_text("mine")
    with pytest.raises(ExportError, match="holds something"):
        export_model(trained, check, RunFacts(), ("card",), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]


def test_what_cannot_be_traced_is_one_line(prepare, tmp_path):
    class Branching(torch.nn.Module):
        def forward(self, x_BCDHW):
            pooled = x_BCDHW.mean((1, 2, 3, 4))
            return pooled[:, None].expand(-1, 3) * (1 if pooled.sum() > 0 else 2)

    trained, check = prepare()
    trained = replace(trained, model=Branching())
    for name in ("torch", "onnx"):
        with pytest.raises(ExportError, match=r"^vit3d tiny: torch.export cannot trace it \(.*\)$"):
            compare_format(name, trained, check, tmp_path)


def test_operating_points_must_be_those_of_the_model(prepare, tmp_path):
    prepare()
    points = pd.DataFrame({"scale": [1.0], "offset": [0.0], "threshold": [0.5]}, index=["Lung nodule"])
    with pytest.raises(ExportError, match="no operating point of"):
        load_trained(tmp_path / "best.pth", points)


@pytest.mark.parametrize(
    "block, told",
    [
        ({"formats": ["tflite"]}, "'tflite' is not one of"),
        ({"formats": []}, "'none'"),
        ({"volumes": 0}, "at least one"),
    ],
)
def test_impossible_settings_are_named(block, told):
    with pytest.raises(ConfigError, match=told):
        ExportSettings.from_config(block)
