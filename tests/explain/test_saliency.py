"""Maps that are what they say: equal to the reference, of this network, and on the spot that decides."""

import numpy as np
import pandas as pd
import pytest
import torch
from monai.visualize import GradCAM
from torch import nn

from hounsfield.errors import TableError
from hounsfield.explain.saliency import explain_model, feature_layer, saliency
from hounsfield.explain.settings import ExplainSettings
from hounsfield.models.create import create_model
from hounsfield.models.settings import ModelSettings
from hounsfield.tables import read_table
from hounsfield.training.checkpoints import save_checkpoint
from hounsfield.training.data import to_input

WINDOWS = [[-1000, 400]]


class Pooled(nn.Module):
    """A convolution, a sum over the volume, a linear layer: a map of the logit can be written down."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv3d(1, 8, 3, padding=1, padding_mode="replicate"), nn.ReLU())
        self.head = nn.Linear(8, 2)

    def forward(self, x_BCDHW):
        return self.head(self.features(x_BCDHW).sum(dim=(2, 3, 4)) / 100)


def network(architecture, variant, shape=(32, 32, 32), **options):
    torch.manual_seed(0)
    return create_model(ModelSettings(architecture, variant, options, 1, shape), 2).eval()


def volume(shape=(32, 32, 32)):
    return torch.rand((1, 1, *shape), generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.fixture(scope="module")
def informed(small_cohort):
    """A network that sees the small cohort's bright blocks (first logit) and dark ones, the volumes and the labels."""
    dataset, store = small_cohort
    hu = torch.tensor(np.stack([store.read(key) for key in dataset["key"]]))[:, None].float()
    model = Pooled().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        # The mean over 27 voxels is near -0.43 about the blocks, 0 in a bright one, and -0.86 in a dark one.
        convolution = model.features[0]
        convolution.weight[0], convolution.bias[0] = 1 / 27, 0.2
        convolution.weight[1], convolution.bias[1] = -1 / 27, -0.65
        model.head.weight[:, :2] = torch.eye(2)
    labels = dataset[["bright", "low"]].to_numpy(float)
    x_BCDHW = to_input(hu, WINDOWS)
    with torch.no_grad():
        seen = model(x_BCDHW).numpy() > 0.02
    assert (seen == (labels == 1))[~np.isnan(labels)].all()
    return model, x_BCDHW, labels


DENSE = {"growth_rate": 4, "block_config": (2, 2, 2, 2)}


@pytest.mark.parametrize(
    ("architecture", "variant", "options", "layer"),
    [("resnet3d", "10", {"widen_factor": 0.25}, "layer1"), ("densenet3d", "121", DENSE, None)],
)
def test_grad_cam_is_monais(architecture, variant, options, layer):
    model, x_BCDHW = network(architecture, variant, **options), volume()
    chosen = feature_layer(model, x_BCDHW)
    (name,) = [name for name, module in model.named_modules() if module is chosen]
    assert layer is None or name == layer
    hottest = []
    for pathology in (0, 1):
        reference = GradCAM(model, name, postprocessing=lambda heat: heat.detach())(x_BCDHW, class_idx=pathology)[0, 0]
        heat, method = saliency(model, x_BCDHW, pathology, ExplainSettings(saliency="grad_cam"))
        assert method == "Grad-CAM"
        np.testing.assert_allclose(heat, reference / reference.max().clamp(min=1e-30), atol=1e-4)
        hottest.append(heat.max())
    assert max(hottest) == 1


def test_both_class_activation_maps_are_the_map_that_the_linear_layer_implies(informed):
    model, x_BCDHW, _ = informed
    with torch.no_grad():
        expected = torch.relu(torch.einsum("c,bcdhw->bdhw", model.head.weight[0], model.features(x_BCDHW[1:2])))[0]
    expected = (expected / expected.max()).numpy()
    for method in ("grad_cam", "hires_cam"):
        heat, _ = saliency(model, x_BCDHW[1:2], 0, ExplainSettings(saliency=method))
        np.testing.assert_allclose(heat, expected, atol=1e-5)


@pytest.mark.parametrize("method", ["grad_cam", "hires_cam", "gradient"])
def test_the_heat_is_where_the_finding_is(informed, method):
    model, x_BCDHW, labels = informed
    block = (slice(2, 9),) * 3
    hits = []
    for row in np.flatnonzero(labels[:, 0] == 1):
        heat, _ = saliency(model, x_BCDHW[row : row + 1], 0, ExplainSettings(saliency=method, samples=4))
        spot = np.zeros_like(heat, bool)
        spot[block] = True
        hits.append(bool(spot[np.unravel_index(heat.argmax(), heat.shape)]))
    # The block with a voxel around it holds 8 % of the volume.
    assert len(hits) == 14 and np.mean(hits) > 0.9


@pytest.mark.parametrize("method", ["grad_cam", "hires_cam", "gradient"])
def test_other_weights_give_another_map(informed, method):
    model, x_BCDHW, labels = informed
    row = int(np.flatnonzero(labels[:, 0] == 1)[0])
    settings = ExplainSettings(saliency=method)
    heat, _ = saliency(model, x_BCDHW[row : row + 1], 0, settings)
    torch.manual_seed(3)
    others = [saliency(Pooled().eval(), x_BCDHW[row : row + 1], 0, settings)[0] for _ in range(5)]
    assert np.mean([np.abs(other - heat).mean() for other in others]) > 0.1


def test_a_slice_network_has_a_map_over_the_volume():
    model = network("slices2d", "18", (12, 64, 64), slab=3)
    heat, method = saliency(model, volume((12, 64, 64)), 0, ExplainSettings())
    assert heat.shape == (12, 64, 64) and method == "HiResCAM"
    assert heat.min() >= 0 and heat.max() == 1
    assert heat.std(axis=(1, 2)).max() > 0 and heat.std(axis=0).max() > 0


def test_a_transformer_has_gradients_that_repeat_and_leave_the_input_alone():
    model, x_BCDHW = network("vit3d", "tiny", num_layers=2), volume()
    before = x_BCDHW.clone()
    first, method = saliency(model, x_BCDHW, 0, ExplainSettings(samples=2))
    second, _ = saliency(model, x_BCDHW, 0, ExplainSettings(samples=2))
    assert method == "smoothed gradient x input"
    np.testing.assert_array_equal(first, second)
    assert first.shape == (32, 32, 32) and first.max() == 1
    assert torch.equal(before, x_BCDHW) and not x_BCDHW.requires_grad
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_map_without_heat_stays_zero():
    model = Pooled().eval()
    with torch.no_grad():
        for parameter in model.head.parameters():
            parameter.zero_()
    heat, _ = saliency(model, volume((8, 8, 8)), 0, ExplainSettings())
    assert heat.max() == 0 and not np.isnan(heat).any()


@pytest.fixture
def checkpoint(small_cohort, tmp_path):
    """(path, predictions of the test split) of an untrained network whose second label has a hostile name."""
    dataset, _ = small_cohort
    settings = ModelSettings("resnet3d", "10", {"widen_factor": 0.125}, 1, (16, 16, 16))
    torch.manual_seed(0)
    names = ["bright", "../<b>/low"]
    content = {"weights": create_model(settings, 2).state_dict(), "model": settings.plain(), "pathologies": names}
    content |= {"preprocessing": {"spacing": [5.0] * 3, "shape": [16] * 3}, "windows": WINDOWS, "epoch": 0}
    save_checkpoint(content, tmp_path / "best.pth")
    test = dataset[dataset["split"] == "test"].reset_index(drop=True)
    predictions = test[["volume", "scan", "patient"]].copy()
    for name, column in zip(names, ("bright", "low"), strict=True):
        predictions[f"label {name}"] = test[column]
        predictions[f"logit {name}"] = np.linspace(-2, 2, len(test))
    return tmp_path / "best.pth", predictions


def test_examples_are_drawn_and_listed(small_cohort, checkpoint, tmp_path):
    dataset, store = small_cohort
    path, predictions = checkpoint
    explain_model(path, dataset, predictions, store, tmp_path / "out", ExplainSettings(examples=2))
    index = read_table(tmp_path / "out/index.tsv", ["pathology", "volume", "outcome", "method", "picture"])
    written = sorted(file.name for file in (tmp_path / "out").glob("*.png"))
    assert written == sorted(index["picture"]) and len(written) >= 8
    assert set(index["pathology"]) == {"bright", "../<b>/low"}
    labels = predictions.set_index("volume")["label bright"]
    bright = index[index["pathology"] == "bright"]
    assert (labels[bright["volume"]].to_numpy() == bright["label"].to_numpy()).all()
    assert index[["peak_z", "peak_y", "peak_x"]].to_numpy().max() < 16


def test_the_pointing_game_is_played_where_the_truth_is_known(small_cohort, checkpoint, tmp_path):
    dataset, store = small_cohort
    path, predictions = checkpoint
    everywhere = np.ones((16, 16, 16), bool)
    settings = ExplainSettings(examples=0)
    explain_model(path, dataset, predictions, store, tmp_path / "out", settings, truth=lambda *_: everywhere)
    table = read_table(tmp_path / "out/pointing.tsv", ["pathology"])
    assert table["pathology"].tolist() == ["bright", "../<b>/low"]
    assert (table["scans"] > 0).all() and (table["chance"] == 1).all()
    explain_model(path, dataset, predictions, store, tmp_path / "none", settings)
    assert not (tmp_path / "none/pointing.tsv").exists()


def test_no_examples_leave_an_empty_list(small_cohort, checkpoint, tmp_path):
    dataset, store = small_cohort
    explain_model(*checkpoint[:1], dataset, checkpoint[1], store, tmp_path / "out", ExplainSettings(examples=0))
    assert len(read_table(tmp_path / "out/index.tsv", ["pathology", "picture"])) == 0


def test_predictions_of_strangers_are_refused(small_cohort, checkpoint, tmp_path):
    dataset, store = small_cohort
    path, predictions = checkpoint
    strange = pd.concat([predictions.assign(volume="stranger " + predictions["volume"])])
    with pytest.raises(TableError, match="stranger"):
        explain_model(path, dataset, strange, store, tmp_path / "out", ExplainSettings())
