"""A 2D ResNet over axial slices, pooled over z by attention: the slice models that published results often favour."""

import torch
from monai.networks.nets import ResNet
from monai.networks.nets.resnet import ResNetBlock, ResNetBottleneck
from torch import nn

from hounsfield.models.settings import ModelSettings

VARIANTS = {
    "18": ("basic", [2, 2, 2, 2]),
    "34": ("basic", [3, 4, 6, 3]),
    "50": ("bottleneck", [3, 4, 6, 3]),
}
BLOCKS = (ResNetBlock, ResNetBottleneck)


class SliceClassifier(nn.Module):
    """Slabs of `slab` neighbouring slices -> features -> gated attention over z (Ilse et al., 2018) -> logits."""

    def __init__(self, backbone: nn.Module, features: int, n_pathologies: int, slab: int, hidden: int = 128):
        super().__init__()
        self.backbone = backbone
        self.slab = slab
        self.value = nn.Linear(features, hidden)
        self.gate = nn.Linear(features, hidden)
        self.attention = nn.Linear(hidden, n_pathologies)
        self.classifier = nn.Parameter(torch.empty(n_pathologies, features))
        self.bias = nn.Parameter(torch.zeros(n_pathologies))
        nn.init.trunc_normal_(self.classifier, std=0.02)

    def forward(self, x_BCDHW: torch.Tensor) -> torch.Tensor:
        """Logits (B, pathologies)."""
        batch, channels, depth, height, width = x_BCDHW.shape
        count = depth // self.slab
        x = x_BCDHW[:, :, : count * self.slab].unflatten(2, (count, self.slab))
        x = x.permute(0, 2, 1, 3, 4, 5).reshape(batch * count, channels * self.slab, height, width)
        features_BNF = self.backbone(x).flatten(1).unflatten(0, (batch, count))
        gated = torch.tanh(self.value(features_BNF)) * torch.sigmoid(self.gate(features_BNF))
        weights_BNP = self.attention(gated).softmax(dim=1)
        pooled_BPF = torch.einsum("bnp,bnf->bpf", weights_BNP, features_BNF)
        return (pooled_BPF * self.classifier).sum(-1) + self.bias


def build(settings: ModelSettings, n_pathologies: int) -> nn.Module:
    """A slice classifier; `options.slab` slices (3) are a slab, its channels."""
    block, layers = VARIANTS[settings.variant]
    options = dict(settings.options)
    slab = options.pop("slab", 3)
    backbone = ResNet(
        block,
        layers,
        block_inplanes=[64, 128, 256, 512],
        spatial_dims=2,
        n_input_channels=settings.in_channels * slab,
        feed_forward=False,
        **({"conv1_t_stride": 2} | options),
    )
    # As wide as what the last block adds to, which `widen_factor` and the kind of block decide.
    features = [module for module in backbone.layer4[-1].modules() if isinstance(module, nn.Conv2d)][-1].out_channels
    return SliceClassifier(backbone, features, n_pathologies, slab)


def stages(model: nn.Module) -> list[tuple[str, ...]]:
    """Names of the modules and parameters of each stage, from the input to the head, which pools the slices."""
    blocks = [("conv1", "bn1"), ("layer1",), ("layer2",), ("layer3",), ("layer4",)]
    head = ("value", "gate", "attention", "classifier", "bias")
    return [*(tuple(f"backbone.{name}" for name in block) for block in blocks), head]
