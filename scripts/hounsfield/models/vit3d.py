"""3D vision transformers (MONAI's)."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from monai.networks.blocks.transformerblock import TransformerBlock
from monai.networks.nets import ViT
from torch import nn

from hounsfield.errors import ConfigError
from hounsfield.models.settings import ModelSettings

VARIANTS = {
    "tiny": {"hidden_size": 192, "mlp_dim": 768, "num_layers": 12, "num_heads": 3},
    "small": {"hidden_size": 384, "mlp_dim": 1536, "num_layers": 12, "num_heads": 6},
    "base": {"hidden_size": 768, "mlp_dim": 3072, "num_layers": 12, "num_heads": 12},
    "large": {"hidden_size": 1024, "mlp_dim": 4096, "num_layers": 24, "num_heads": 16},
}
BLOCKS = (TransformerBlock,)
CHOICES = {"stem": ("linear", "conv"), "pool": ("token", "mean")}


class ViTClassifier(ViT):
    """MONAI's ViT, giving only the logits: of its class token, or of the mean over its patches (`mean_pool`)."""

    mean_pool = False

    def forward(self, x_BCDHW: torch.Tensor) -> torch.Tensor:
        """Logits (B, pathologies)."""
        if not self.mean_pool:
            return super().forward(x_BCDHW)[0]
        x_BNF = self.patch_embedding(x_BCDHW)
        for block in self.blocks:
            x_BNF = block(x_BNF)
        return self.classification_head(self.norm(x_BNF).mean(dim=1))


class ConvolutionalStem(nn.Module):
    """Patches by convolutions of stride 2, one after another, in the place of one large kernel.

    Xiao et al. (2021), "Early convolutions help transformers see better". From (B, C, D, H, W) to (B, patches,
    features), with an embedding of each patch's position.
    """

    def __init__(self, channels: int, features: int, patch: int, shape: Sequence[int]):
        super().__init__()
        steps = patch.bit_length() - 1
        widths = [channels, *(features // 2 ** (steps - step) for step in range(1, steps + 1))]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Conv3d(before, after, 3, stride=2, padding=1, bias=False), nn.BatchNorm3d(after), nn.GELU()]
        self.convolutions = nn.Sequential(*layers, nn.Conv3d(features, features, 1))
        self.position_embeddings = nn.Parameter(torch.zeros(1, math.prod(n // patch for n in shape), features))
        nn.init.trunc_normal_(self.position_embeddings, std=0.02)

    def forward(self, x_BCDHW: torch.Tensor) -> torch.Tensor:
        """Patches (B, N, F)."""
        return self.convolutions(x_BCDHW).flatten(2).transpose(1, 2) + self.position_embeddings


def build(settings: ModelSettings, n_pathologies: int) -> nn.Module:
    """A ViT on patches of 16 voxels, or `options.patch_size`; the shape must be a multiple of it.

    options: MONAI's arguments, `stem` (linear, or conv: patches by a few small convolutions) and `pool` (what the
    logits are made of: token, or the mean over patches).
    """
    usual = {"patch_size": 16, "stem": "linear", "pool": "token"}
    sizes: dict[str, Any] = {**usual, **VARIANTS[settings.variant], **settings.options}
    stem, pool = (_choice(sizes, name) for name in CHOICES)
    patch = sizes["patch_size"]
    patch = (patch,) * 3 if isinstance(patch, int) else tuple(patch)
    if any(n % p for n, p in zip(settings.shape, patch, strict=True)):
        raise ConfigError(
            f"config: models: vit3d needs a shape that is a multiple of its patch {patch}, not {settings.shape}"
        )
    model = ViTClassifier(
        in_channels=settings.in_channels,
        img_size=settings.shape,
        classification=True,
        num_classes=n_pathologies,
        post_activation=None,
        **(sizes | {"patch_size": patch}),
    )
    if stem == "conv":
        if len(set(patch)) > 1 or patch[0] & (patch[0] - 1):
            raise ConfigError(
                f"config: models: vit3d: stem conv needs a cubic patch of 2, 4, 8, 16, ... voxels, not {patch}"
            )
        model.patch_embedding = ConvolutionalStem(settings.in_channels, sizes["hidden_size"], patch[0], settings.shape)
    if pool == "mean":
        model.mean_pool = True
        del model.cls_token
    for block in model.blocks:
        # MONAI makes it for the decoders' sake; without a gradient it would stop distributed training.
        del block.norm_cross_attn
        block.attn.use_flash_attention = True  # without the matrix of all pairs of patches in memory
        if sizes.get("dropout_rate"):
            block.attn.register_forward_pre_hook(_drop_in_training_only)
    return model


def _choice(sizes: dict[str, Any], name: str) -> str:
    value = sizes.pop(name)
    if value not in CHOICES[name]:
        raise ConfigError(f"config: models: vit3d: {name} {value!r} is not one of {', '.join(CHOICES[name])}")
    return value


def _drop_in_training_only(attention: nn.Module, _: Any) -> None:
    """MONAI's flash attention drops when scoring, too."""
    attention.dropout_rate = attention.drop_weights.p if attention.training else 0.0


def stages(model: nn.Module) -> list[tuple[str, ...]]:
    """Names of the modules and parameters of each stage, from the input to the head."""
    blocks = [(f"blocks.{number}",) for number in range(len(model.blocks))]
    blocks[-1] += ("norm",)
    return [("cls_token", "patch_embedding"), *blocks, ("classification_head",)]
