"""What a network costs, against counts by hand."""

import numpy as np
import pytest
import torch

from hounsfield.inference.footprint import COLUMNS, count_operations, measure_network
from hounsfield.models.create import create_model
from hounsfield.models.settings import ModelSettings
from hounsfield.training.checkpoints import save_checkpoint


@pytest.fixture
def slim(small_cohort, tmp_path):
    """(network, its checkpoint) on volumes of 16 voxels a side."""
    settings = ModelSettings("resnet3d", "10", {"widen_factor": 0.125}, 1, (16, 16, 16))
    model = create_model(settings, 2)
    content = {"weights": model.state_dict(), "model": settings.plain(), "pathologies": ["bright", "low"]}
    content |= {"preprocessing": {"spacing": [5.0] * 3, "shape": [16] * 3}, "windows": [[-1000, 400]], "epoch": 0}
    save_checkpoint(content, tmp_path / "best.pth")
    return model, tmp_path / "best.pth"


def test_counts_parameters_and_the_operations_of_convolutions_and_products(small_cohort, slim):
    dataset, store = small_cohort
    model, path = slim
    counted = []

    def count(module, _, output):
        kernel = module.weight[0].numel()
        counted.append(2 * output.numel() * kernel)

    for module in model.modules():
        if isinstance(module, torch.nn.Conv3d | torch.nn.Linear):
            module.register_forward_hook(count)
    with torch.no_grad():
        model.eval()(torch.zeros(1, 1, 16, 16, 16))
    row = measure_network(path, dataset, store).iloc[0]
    assert row["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert row["gigaflops"] == pytest.approx(sum(counted) / 1e9)
    assert row["seconds_per_scan"] > 0 and row["device"]


def test_counts_the_products_of_attention():
    model = create_model(ModelSettings("vit3d", "tiny", {"num_layers": 2, "patch_size": 8}, 1, (32, 32, 32)), 2).eval()
    x_BCDHW = torch.zeros(1, 1, 32, 32, 32)
    with torch.inference_mode():
        counted = count_operations(lambda: model(x_BCDHW))
        for block in model.blocks:
            block.attn.use_flash_attention = False  # its matrix products are then torch's plain ones
        assert counted == count_operations(lambda: model(x_BCDHW))


def test_a_single_volume_gives_no_time(small_cohort, slim):
    dataset, store = small_cohort
    table = measure_network(slim[1], dataset[:1], store)
    assert list(table.columns) == COLUMNS and len(table) == 1
    assert np.isnan(table["seconds_per_scan"][0]) and table["gigaflops"][0] > 0
