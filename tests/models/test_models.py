"""Networks: what they take, give, and refuse."""

import pytest
import torch

from hounsfield.errors import CheckpointError, ConfigError
from hounsfield.models.create import architectures, create_model
from hounsfield.models.settings import ModelSettings
from hounsfield.models.stages import network_stages
from hounsfield.models.weights import load_weights
from hounsfield.training.precision import Precision

SMALL = {
    "resnet3d": ("10", {}),
    "densenet3d": ("121", {"init_features": 8, "growth_rate": 4}),
    "vit3d": ("tiny", {"num_layers": 2}),
    "slices2d": ("18", {"slab": 4, "widen_factor": 0.5}),
    "monai_network": ("SEResNet50", {"layers": [1, 1, 1, 1]}),
}


def settings(architecture, channels=1, **changes):
    variant, options = SMALL[architecture]
    return ModelSettings(architecture, variant, options, channels, (32, 32, 32), **changes)


def test_every_architecture_is_tried_here():
    assert set(SMALL) == set(architectures())


@pytest.mark.parametrize("architecture", SMALL)
@pytest.mark.parametrize("channels", [1, 3])
def test_gives_logits_and_every_parameter_a_gradient(architecture, channels):
    model = create_model(settings(architecture, channels), 5)
    logits = model(torch.randn(2, channels, 32, 32, 32))
    assert logits.shape == (2, 5)
    logits.square().sum().backward()
    silent = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert silent == []


@pytest.mark.parametrize("architecture", SMALL)
def test_logits_do_not_depend_on_the_memory_layout(architecture):
    torch.manual_seed(0)
    model, x_BCDHW = create_model(settings(architecture), 5).eval(), torch.randn(2, 1, 32, 32, 32)
    with torch.inference_mode():
        expected = model(x_BCDHW)
        precision = Precision(torch.device("cpu"), channels_last=True)
        found = precision.place(model)(precision.layout(x_BCDHW))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_attention_without_its_matrix_is_monais():
    torch.manual_seed(0)
    model, x_BCDHW = create_model(settings("vit3d"), 5), torch.randn(2, 1, 32, 32, 32)
    gradients = []
    for flash in (True, False):
        for block in model.blocks:
            assert block.attn.use_flash_attention or not flash
            block.attn.use_flash_attention = flash
        model.zero_grad()
        model(x_BCDHW).square().sum().backward()
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in model.parameters()]))
    assert (gradients[0] - gradients[1]).norm() / gradients[1].norm() < 1e-4


@pytest.mark.parametrize(
    "options", [{"stem": "conv"}, {"pool": "mean"}, {"stem": "conv", "pool": "mean", "patch_size": 8}]
)
def test_patches_by_convolutions_and_their_mean(options):
    torch.manual_seed(0)
    settings = ModelSettings("vit3d", "tiny", {"num_layers": 2} | options, 2, (32, 48, 32))
    model, x_BCDHW = create_model(settings, 5), torch.randn(2, 2, 32, 48, 32)
    count = 32 * 48 * 32 // options.get("patch_size", 16) ** 3
    assert model.patch_embedding(x_BCDHW).shape == (2, count, 192)
    model(x_BCDHW).square().sum().backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []
    with torch.inference_mode():  # each patch of the volume counts, and each where it is
        expected, turned = model.eval()(x_BCDHW), model(x_BCDHW.flip(3))
    assert not torch.allclose(expected, turned, atol=1e-4)
    assert "patch_embedding" in network_stages(model, settings, "key")[0]


def test_nothing_is_dropped_when_scoring():
    model = create_model(ModelSettings("vit3d", "tiny", {"num_layers": 2, "dropout_rate": 0.5}, 1, (32, 32, 32)), 5)
    x_BCDHW = torch.randn(1, 1, 32, 32, 32)
    assert not torch.equal(model(x_BCDHW), model(x_BCDHW))
    model.eval()
    assert torch.equal(model(x_BCDHW), model(x_BCDHW))


def test_variants_differ_in_size():
    def parameters(architecture, variant):
        model = create_model(ModelSettings(architecture, variant, shape=(32, 32, 32)), 3)
        return sum(parameter.numel() for parameter in model.parameters())

    for architecture, variants in {"resnet3d": ["10", "18", "34"], "vit3d": ["tiny", "small", "base"]}.items():
        sizes = [parameters(architecture, variant) for variant in variants]
        assert sizes == sorted(set(sizes))


@pytest.mark.parametrize(
    "block, message",
    [
        (ModelSettings("resnet4d", "10"), "'resnet4d' is not one of densenet3d"),
        (ModelSettings("resnet3d", "11"), "no variant '11'; it has 10, 18, 34, 50"),
        (ModelSettings("resnet3d", "10", {"width": 3}), "width"),
        (ModelSettings("vit3d", "tiny", shape=(30, 32, 32)), "multiple of its patch"),
        (ModelSettings("vit3d", "tiny", {"stem": "magic"}), "stem 'magic' is not one of linear, conv"),
        (ModelSettings("vit3d", "tiny", {"stem": "conv", "patch_size": [16, 8, 8]}), "needs a cubic patch"),
        (ModelSettings("monai_network", "Nothing"), "no network 'Nothing'"),
    ],
)
def test_what_cannot_be_made_is_refused_in_one_line(block, message):
    with pytest.raises(ConfigError, match=message) as error:
        create_model(block, 3)
    assert "\n" not in str(error.value)


def test_weights_that_fit_are_taken_and_the_rest_reported(tmp_path, caplog):
    caplog.set_level("INFO")
    source = create_model(settings("resnet3d"), 7)
    torch.save({"state_dict": {f"module.{name}": value for name, value in source.state_dict().items()}}, tmp_path / "w")
    model = create_model(settings("resnet3d", weights=str(tmp_path / "w")), 3)
    torch.testing.assert_close(model.conv1.weight, source.conv1.weight)
    assert "fc.weight" in caplog.text and "left as initialised" in caplog.text and "not used" in caplog.text


def test_a_flat_kernel_is_inflated(tmp_path):
    flat = torch.randn(64, 3, 7, 7)
    torch.save({"conv1.weight": flat}, tmp_path / "w")
    model = create_model(settings("resnet3d"), 3)
    match = load_weights(model, tmp_path / "w")
    assert match.matched == ["conv1.weight"]
    torch.testing.assert_close(model.conv1.weight.sum(dim=2), flat.sum(dim=1, keepdim=True))


def test_foreign_and_damaged_weights_are_refused(tmp_path):
    torch.save({"other": torch.zeros(3, 3)}, tmp_path / "foreign")
    (tmp_path / "damaged").write_bytes(b"not weights")
    with pytest.raises(CheckpointError, match="none of its 1 tensors"):
        load_weights(create_model(settings("resnet3d"), 3), tmp_path / "foreign")
    for name in ("damaged", "absent"):
        with pytest.raises(CheckpointError, match=f"{name}: cannot be read"):
            load_weights(create_model(settings("resnet3d"), 3), tmp_path / name)
