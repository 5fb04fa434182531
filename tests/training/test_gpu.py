"""On a CUDA GPU: the CPU's results, in every precision, and an epoch in which the CPU never waits for the GPU."""

import os

import numpy as np
import pytest
import torch

from hounsfield.devices import lease_devices
from hounsfield.models.create import create_model
from hounsfield.models.settings import ModelSettings
from hounsfield.tables import read_table
from hounsfield.training import trainer
from hounsfield.training.activation_checkpointing import checkpoint_activations
from hounsfield.training.augmentation import augmented_input, draw
from hounsfield.training.precision import Precision
from hounsfield.training.settings import AugmentationSettings
from hounsfield.training.trainer import prepare, train_epoch, train_model
from hounsfield.volumes.settings import PreprocessingSettings

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA GPU")

SMALL = {
    "resnet3d": {"variant": "18", "options": {"widen_factor": 0.25}},
    "densenet3d": {"variant": "121", "options": {"init_features": 16, "growth_rate": 8}},
    "vit3d": {"variant": "tiny", "options": {"num_layers": 3}},
    "slices2d": {"variant": "18"},
}
EVERYTHING = {"noise": 20, "blur": 4, "contrast": [0.9, 1.1], "shift": 10}


def test_an_epoch_never_waits_for_the_gpu(make_job, monkeypatch):
    job = make_job({"augmentation": EVERYTHING, "amp": "bf16", "accumulate": 2})
    training, state = prepare(job)
    train_epoch(state, training)  # the first one chooses algorithms and takes memory
    state.epoch, state.epoch_step = 1, 0
    monkeypatch.setattr(trainer, "_settle", lambda *_: None)  # the one place that looks at losses, all at once
    torch.cuda.set_sync_debug_mode("error")
    try:
        train_epoch(state, training)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("window", [None, (-1000.0, 1000.0)])
def test_input_is_that_of_the_cpu(window):
    preprocessing = PreprocessingSettings(
        (2.0, 1.5, 1.5), (24, 32, 40), dtype="uint8" if window else "int16", window=window
    )
    hu = np.random.default_rng(0).normal(0, 400, (2, 24, 32, 40)).astype(np.float32)
    stored = torch.from_numpy(preprocessing.encode(hu))
    draws = draw(AugmentationSettings(noise=0), 0, 0, np.arange(2, dtype=np.uint64))
    on_cpu, on_gpu = (
        augmented_input(volumes, draws, preprocessing, [(-1000, 400), (100, 900)])
        for volumes in (stored, stored.cuda())
    )
    assert (on_gpu.cpu() - on_cpu).abs().max() < 2e-4  # of a range of 2


@pytest.mark.parametrize(("amp", "tolerance"), [("off", 2e-3), ("bf16", 5e-2), ("fp16", 1e-2)])
@pytest.mark.parametrize("architecture", SMALL)
def test_logits_are_those_of_the_cpu(architecture, amp, tolerance):
    settings = ModelSettings(architecture, shape=(32, 48, 48), **SMALL[architecture])
    torch.manual_seed(0)
    model = create_model(settings, 2).eval()
    x = torch.randn(2, 1, 32, 48, 48)
    with torch.inference_mode():
        expected = model(x)
        precision = Precision.choose(amp, "auto")
        with precision.autocast():
            found = precision.place(model)(precision.layout(x.cuda())).float().cpu()
    assert ((found - expected).norm() / expected.norm()) < tolerance


@pytest.mark.parametrize(
    "changes", [{"amp": "off"}, {"amp": "bf16"}, {"amp": "fp16"}, {"gradient_checkpointing": True}, {"compile": True}]
)
def test_learns_and_goes_on(make_job, changes):
    still = {"flip": 0, "translation": 0, "rotation": 0}
    early = {"metric": "loss", "patience": 30}
    block = {
        "epochs": 20,
        "learning_rate": 0.001,
        "augmentation": still,
        "early_stopping": early,
        "amp": "bf16",
    } | changes
    job = make_job(block)
    train_model(job, stop_after=5)
    train_model(job)
    history = read_table(job.directory / "history.tsv")
    assert list(history["epoch"]) == list(range(20))
    assert history["train_loss"].iloc[-1] < 0.7 * history["train_loss"].iloc[0]
    assert (history["peak_gpu_memory_mb"] > 0).all()


@pytest.mark.parametrize("architecture", ["resnet3d", "densenet3d", "vit3d"])
def test_compiled_and_recomputed_gradients_are_those_of_the_plain_network(architecture, monkeypatch):
    settings = ModelSettings(architecture, shape=(32, 48, 48), **SMALL[architecture])
    x = torch.randn(4, 1, 32, 48, 48, device="cuda")
    # Batch norms of the few voxels that deep maps have here make much of little: TF32 alone would change gradients.
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    gradients = []
    for change in ("none", "compile", "gradient_checkpointing"):
        torch.manual_seed(0)
        model = create_model(settings, 2).cuda()
        if change == "compile":
            model.compile()
        if change == "gradient_checkpointing":
            checkpoint_activations(model, settings)
        model(x).square().mean().backward()
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in model.parameters()]))
    compiled, recomputed = ((g - gradients[0]).norm() / gradients[0].norm() for g in gradients[1:])
    assert compiled < 0.02 and recomputed < 0.02


def test_a_lease_shows_cuda_its_gpu_only(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with lease_devices(1) as indices:
        assert os.environ["CUDA_VISIBLE_DEVICES"] == str(indices[0])


def test_settings_default_to_bf16_and_channels_last(make_job):
    training, _ = prepare(make_job({"amp": "auto"}))
    assert training.precision == Precision(torch.device("cuda"), torch.bfloat16, channels_last=True)
