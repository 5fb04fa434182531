"""Checkpoints from strangers and broken ones: refused in one line that names the file, and nothing is fetched."""

import copy
import pickle
import socket
import zipfile
from contextlib import suppress

import numpy as np
import pytest
import torch
from monai.networks import nets

from hounsfield.errors import CheckpointError, ConfigError, TableError
from hounsfield.evaluation.predictions import prediction_arrays
from hounsfield.inference.findings import read_networks
from hounsfield.models.create import create_model
from hounsfield.models.monai_network import build
from hounsfield.models.settings import ModelSettings
from hounsfield.models.weights import load_weights
from hounsfield.predictions import prediction_table
from hounsfield.training.checkpoints import load_checkpoint, load_model, save_checkpoint
from hounsfield.training.content import own_options
from hounsfield.training.predict import predict_split
from hounsfield.training.settings import TrainingSettings
from hounsfield.volumes.settings import PreprocessingSettings

OPTIONS = {"widen_factor": 0.125}
SETTINGS = ModelSettings("resnet3d", "10", OPTIONS, 1, (16, 16, 16))


@pytest.fixture(scope="module")
def sound():
    torch.manual_seed(0)
    content = {"weights": create_model(SETTINGS, 2).state_dict(), "model": SETTINGS.plain(), "epoch": 3}
    content |= {"pathologies": ["bright", "low"], "windows": [[-1000.0, 400.0]], "metrics": {"val_loss": 0.5}}
    content |= {
        "preprocessing": {"spacing": [5.0] * 3, "shape": [16] * 3},
        "inference": {"batch_size": 2, "amp": "off"},
    }
    return content


@pytest.fixture
def offline(monkeypatch):
    """No connection and no look-up of a name can be made; the test fails if one was tried."""
    tried = []

    def refuse(*arguments, **_):
        tried.append(arguments)
        raise OSError("no network in this test")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    yield
    assert tried == []


def changed(content, path, value):
    """A copy of `content` with the value at a dotted path replaced, or removed if it is `...`."""
    content = content | {key: copy.deepcopy(content[key]) for key in content if key != "weights"}
    *parents, last = path.split(".")
    place = content
    for parent in parents:
        place = place[parent]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return content


NAN = float("nan")
FIELDS = {
    "model": [..., None, 5, "resnet3d", [], {}],
    "model.architecture": [..., None, 3, "os", "create", "../weights", "resnet4d", ["resnet3d"]],
    "model.variant": [..., None, 10, "9", ""],
    "model.options": [..., None, [], "x", {"spatial_dims": 2}, {"nothing": 1}, {1: 2}, {"widen_factor": NAN}],
    "model.options.block_inplanes": [[10**9] * 4, [-1] * 4, "many", [1] * 200],
    "model.in_channels": [..., None, 0, -1, 1.5, True, "1", 2, 10**9],
    "model.shape": [..., None, 16, [16, 16], [16, 16, -16], [16.0] * 3, [10**6] * 3, "abc", [8, 8, 8]],
    "model.unknown": [1],
    "pathologies": [
        ...,
        None,
        [],
        "bright",
        {"bright": 1},
        ["bright"],
        [1, 2],
        ["a", "a"],
        ["a", "b\tc"],
        ["a", "b\n"],
    ],
    "windows": [..., None, [], [[400, -1000]], [[0, 0]], [[0, NAN]], [[0, float("inf")]], [["a", "b"]], [[0]], 5],
    "preprocessing": [..., None, [], 5],
    "preprocessing.spacing": [..., None, 5, [5, 5], [0, 5, 5], [-5, 5, 5], [NAN, 5, 5], ["5", 5, 5]],
    "preprocessing.shape": [..., None, [16, 16], [16, 16, 0], [32, 32, 32]],
    "preprocessing.dtype": ["float64", None, 5],
    "preprocessing.window": [[0, 1], [1, 0], 5],
    "preprocessing.antialias": ["yes", 2],
    "preprocessing.extra": [1],
    "inference": [None, [], {"nothing": 1}],
    "inference.batch_size": [0, -1, "2", 1.5, 10**9],
    "inference.amp": ["fp8", None, 1],
    "inference.channels_last": ["no", 3],
    "inference.test_time_flip": ["no", 1],
    "epoch": ["3", -1, 1.5],
    "metrics": [None, 3, {"a": "b"}, {1: 2.0}],
    "weights": [..., None, [], {}, "x", {"conv1.weight": 5}, {1: torch.zeros(1)}, {"other": torch.zeros(1)}],
    "format": [None, 0, 2, "1"],
}
CASES = [(path, value) for path, values in FIELDS.items() for value in values]


@pytest.mark.parametrize(("path", "value"), CASES, ids=[f"{path}={str(value)[:30]}" for path, value in CASES])
def test_every_field_is_looked_at(sound, tmp_path, offline, path, value):
    file = tmp_path / "best.pth"
    save_checkpoint(sound, file)
    load_model(file)
    content = changed({"format": 1} | sound, path, value)
    torch.save(content, file)
    with pytest.raises(CheckpointError, match=r"best\.pth") as error:
        load_model(file)
    assert "\n" not in str(error.value)


def poisoned(kind):
    """A tensor that is none of 8x1x7x7x7 sound numbers."""
    shape = (8, 1, 7, 7, 7)
    zeros = torch.zeros(shape)
    if kind in (NAN, float("inf"), -float("inf")):
        zeros[3, 0, 2, 2, 2] = kind
        return zeros
    return {
        "too large for float32": zeros.double() + 1e300,
        "whole numbers": zeros.long(),
        "truth values": zeros.bool(),
        "complex": zeros.to(torch.complex64),
        "of one place": torch.zeros(1).expand(shape),
        "sparse": zeros.to_sparse(),
        "quantized": torch.quantize_per_tensor(zeros, 0.1, 0, torch.qint8),
        "without values": torch.zeros(shape, device="meta"),
        "of another shape": torch.zeros(8, 1, 7, 7),
        "a vast view": torch.zeros(1).expand(10**6, 10**6),
    }[kind]


KINDS = [NAN, float("inf"), -float("inf"), "too large for float32", "whole numbers", "truth values", "complex"]
KINDS += ["of one place", "sparse", "quantized", "without values", "of another shape", "a vast view"]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_tensor_that_is_no_sound_one_is_refused(sound, tmp_path, kind):
    file = tmp_path / "best.pth"
    weights = sound["weights"] | {"conv1.weight": poisoned(kind)}
    save_checkpoint(sound | {"weights": weights}, file)
    with pytest.raises(
        CheckpointError, match=r"best\.pth: (its (tensor conv1\.weight|weights)|cannot be read)"
    ) as error:
        load_model(file)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("of another shape", "a vast view")], ids=str)
def test_weights_to_start_from_are_looked_at_too(sound, tmp_path, kind):
    file = tmp_path / "start.pth"
    torch.save({"state_dict": sound["weights"] | {"conv1.weight": poisoned(kind)}}, file)
    with pytest.raises(CheckpointError, match=r"start\.pth: (its tensor conv1\.weight|cannot be read)") as error:
        load_weights(create_model(SETTINGS, 2), file)
    assert "\n" not in str(error.value)


FETCHING = [
    ("SEResNet50", {"pretrained": True}),
    ("DenseNet121", {"pretrained": True}),
    ("EfficientNetBN", {"model_name": "efficientnet-b0", "pretrained": True}),
    ("HoVerNet", {"pretrained_url": "http://192.0.2.1/x.pth"}),
    ("HoVerNet", {"pretrained_url": "file:///etc/passwd"}),
    ("MILModel", {"pretrained": True}),
    ("MILModel", {"pretrained": "yes"}),
    ("TorchVisionFCModel", {"pretrained": True}),
    ("ResNetFeatures", {"model_name": "resnet10", "pretrained": True}),
    ("FlexibleUNet", {"backbone": "efficientnet-b0", "pretrained": True}),
    ("Transchex", {}),
]


@pytest.mark.parametrize(("variant", "options"), FETCHING)
def test_a_checkpoint_has_nothing_fetched(sound, tmp_path, offline, variant, options):
    file = tmp_path / "best.pth"
    model = sound["model"] | {"architecture": "monai_network", "variant": variant, "options": options}
    save_checkpoint(sound | {"model": model}, file)
    with pytest.raises(CheckpointError, match=r"best\.pth.*(fetched|fetches)"):
        load_model(file)


@pytest.mark.parametrize("variant", [name for name in dir(nets) if isinstance(getattr(nets, name), type)])
def test_no_network_of_monai_fetches_by_itself(offline, variant):
    options = {"model_name": "resnet10"} if variant == "ResNetFeatures" else {}
    # One may need more options; whether it asked for anything is seen by `offline`.
    with suppress(ConfigError, TypeError, ValueError, ImportError, AssertionError, NotImplementedError):
        build(ModelSettings("monai_network", variant, options, 1, (16, 16, 16)), 2)


class Pickled:
    def __reduce__(self):
        return (print, ("this code ran",))


def _compressed(path, content):
    torch.save(content, path)
    with zipfile.ZipFile(path) as archive:
        parts = {part.filename: archive.read(part) for part in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)


FILES = {
    "empty": lambda path, _: path.write_bytes(b""),
    "text": lambda path, _: path.write_text("not weights"),
    "page": lambda path, _: path.write_text("<!DOCTYPE html><html>404</html>"),
    "pointer": lambda path, _: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"),
    "folder": lambda path, _: path.mkdir(),
    "absent": lambda path, _: None,
    "code": lambda path, _: path.write_bytes(pickle.dumps(Pickled())),
    "code in torch's form": lambda path, _: torch.save({"weights": Pickled()}, path),
    "code in the old form": lambda path, _: torch.save(
        {"weights": Pickled()}, path, _use_new_zipfile_serialization=False
    ),
    "numbers": lambda path, _: torch.save(5, path),
    "list": lambda path, content: torch.save([content], path),
    "other zip": lambda path, _: zipfile.ZipFile(path, "w").writestr("a.txt", "a"),
    "compressed": _compressed,
    "npz": lambda path, _: np.savez(open(path, "wb"), a=np.zeros(3)),  # noqa: SIM115
}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("read", [load_checkpoint, load_model, lambda path: read_networks([path])])
def test_what_is_no_checkpoint_is_refused(sound, tmp_path, kind, read, capsys):
    FILES[kind](tmp_path / "best.pth", {"format": 1} | sound)
    with pytest.raises(CheckpointError, match=r"best\.pth") as error:
        read(tmp_path / "best.pth")
    assert "\n" not in str(error.value) and "this code ran" not in capsys.readouterr().out


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_what_is_no_weights_is_refused(sound, tmp_path, kind, suffix, capsys):
    path = (tmp_path / "start").with_suffix(suffix)
    FILES[kind](path, sound["weights"])
    with pytest.raises(CheckpointError, match="start") as error:
        load_weights(create_model(SETTINGS, 2), path)
    assert "\n" not in str(error.value) and "this code ran" not in capsys.readouterr().out


def test_a_flipped_bit_in_weights_to_start_from_is_found(sound, tmp_path):
    path, random, found = tmp_path / "start.pth", np.random.default_rng(0), 0
    torch.save(sound["weights"], path)
    whole, model = path.read_bytes(), create_model(SETTINGS, 2)
    for _ in range(60):
        content = bytearray(whole)
        content[random.integers(len(content))] ^= 1 << random.integers(8)
        path.write_bytes(content)
        try:
            load_weights(model, path)
        except CheckpointError as error:
            assert "\n" not in str(error)
            found += 1
        else:  # a bit of the archive's padding
            assert all(torch.equal(tensor, sound["weights"][name]) for name, tensor in model.state_dict().items())
    assert found > 40


@pytest.mark.parametrize("value", [NAN, float("inf"), -float("inf")])
def test_a_logit_that_is_not_finite_is_refused(small_cohort, value):
    dataset = small_cohort[0].head(3)
    logits = np.zeros((3, 2), np.float32)
    logits[1, 1] = value
    with pytest.raises(TableError, match="no finite logit of 'low' for volume train_1_a_1"):
        prediction_arrays(prediction_table(dataset, ["bright", "low"], logits), ["bright", "low"])


def test_a_network_whose_scores_are_not_finite_names_the_volume(sound, small_cohort, tmp_path):
    """Its weights are sound, one by one; together they are beyond float32."""
    dataset, store = small_cohort
    huge = {name: tensor * (1e38 if name.startswith("fc") else 1) for name, tensor in sound["weights"].items()}
    huge |= {name: tensor * 1e6 for name, tensor in huge.items() if name.startswith("layer4.0.bn2.weight")}
    grid = PreprocessingSettings.from_config(sound["preprocessing"]).canonical()
    save_checkpoint(sound | {"weights": huge, "preprocessing": grid}, tmp_path / "best.pth")
    with pytest.raises(CheckpointError, match=r"best\.pth: its score of .* for train_\d+_a_1 is not finite"):
        predict_split(tmp_path / "best.pth", dataset, store, TrainingSettings(amp="off"), grid)


def test_an_empty_split_is_named(sound, small_cohort, tmp_path):
    dataset, store = small_cohort
    save_checkpoint(sound, tmp_path / "best.pth")
    with pytest.raises(TableError, match="no volume is in the split"):
        predict_split(tmp_path / "best.pth", dataset[:0], store, TrainingSettings(), sound["preprocessing"])


def test_own_networks_that_fetched_weights_are_read_again():
    """What training fetched is in the checkpoint; the option is not."""
    assert own_options({"pretrained": True, "layers": [1]}) == {"layers": [1]}
