"""3D ResNets (MONAI's, after MedicalNet)."""

from monai.networks.nets import ResNet
from monai.networks.nets.resnet import ResNetBlock, ResNetBottleneck
from torch import nn

from hounsfield.models.settings import ModelSettings

VARIANTS = {
    "10": ("basic", [1, 1, 1, 1]),
    "18": ("basic", [2, 2, 2, 2]),
    "34": ("basic", [3, 4, 6, 3]),
    "50": ("bottleneck", [3, 4, 6, 3]),
}
BLOCKS = (ResNetBlock, ResNetBottleneck)


def build(settings: ModelSettings, n_pathologies: int) -> nn.Module:
    """A ResNet; the stem's stride is 2, as MONAI's default of 1 costs eight times as much for little."""
    block, layers = VARIANTS[settings.variant]
    options = {"conv1_t_stride": 2} | dict(settings.options)
    return ResNet(
        block,
        layers,
        block_inplanes=[64, 128, 256, 512],
        spatial_dims=3,
        n_input_channels=settings.in_channels,
        num_classes=n_pathologies,
        **options,
    )


def stages(model: nn.Module) -> list[tuple[str, ...]]:
    """Names of the modules and parameters of each stage, from the input to the head."""
    return [("conv1", "bn1"), ("layer1",), ("layer2",), ("layer3",), ("layer4",), ("fc",)]
