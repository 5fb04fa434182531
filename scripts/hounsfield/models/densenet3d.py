"""3D DenseNets (MONAI's)."""

from typing import Any

from monai.networks.nets import DenseNet
from monai.networks.nets.densenet import _DenseLayer
from torch import nn

from hounsfield.models.settings import ModelSettings

VARIANTS = {
    "121": {"init_features": 64, "growth_rate": 32, "block_config": (6, 12, 24, 16)},
    "169": {"init_features": 64, "growth_rate": 32, "block_config": (6, 12, 32, 32)},
    "201": {"init_features": 64, "growth_rate": 32, "block_config": (6, 12, 48, 32)},
    "264": {"init_features": 64, "growth_rate": 32, "block_config": (6, 12, 64, 48)},
}
BLOCKS = (_DenseLayer,)


def build(settings: ModelSettings, n_pathologies: int) -> nn.Module:
    """A DenseNet of the variant's depth; `options` may change its width, growth and dropout."""
    sizes: dict[str, Any] = VARIANTS[settings.variant] | dict(settings.options)
    return DenseNet(spatial_dims=3, in_channels=settings.in_channels, out_channels=n_pathologies, **sizes)


def stages(model: nn.Module) -> list[tuple[str, ...]]:
    """Names of the modules and parameters of each stage, from the input to the head."""
    count = sum(name.startswith("denseblock") for name, _ in model.features.named_children())
    blocks = [("conv0", "norm0"), *((f"denseblock{k}", f"transition{k}") for k in range(1, count))]
    blocks.append((f"denseblock{count}", "norm5"))  # MONAI's name whatever the count
    return [*(tuple(f"features.{name}" for name in block) for block in blocks), ("class_layers",)]
