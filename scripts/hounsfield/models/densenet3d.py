"""3D DenseNets (MONAI's)."""

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
    sizes = VARIANTS[settings.variant] | dict(settings.options)
    return DenseNet(spatial_dims=3, in_channels=settings.in_channels, out_channels=n_pathologies, **sizes)
