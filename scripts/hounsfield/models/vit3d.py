"""3D vision transformers (MONAI's)."""

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


class ViTClassifier(ViT):
    """MONAI's ViT, giving only the logits."""

    def forward(self, x_BCDHW: torch.Tensor) -> torch.Tensor:
        """Logits (B, pathologies)."""
        return super().forward(x_BCDHW)[0]


def build(settings: ModelSettings, n_pathologies: int) -> nn.Module:
    """A ViT on patches of 16 voxels, or `options.patch_size`; the shape must be a multiple of it."""
    sizes = {"patch_size": 16} | VARIANTS[settings.variant] | dict(settings.options)
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
    for block in model.blocks:
        # MONAI makes it for the decoders' sake; without a gradient it would stop distributed training.
        del block.norm_cross_attn
        block.attn.use_flash_attention = True  # without the matrix of all pairs of patches in memory
        if sizes.get("dropout_rate"):
            block.attn.register_forward_pre_hook(_drop_in_training_only)
    return model


def _drop_in_training_only(attention: nn.Module, _) -> None:
    """MONAI's flash attention drops when scoring, too."""
    attention.dropout_rate = attention.drop_weights.p if attention.training else 0.0


def stages(model: nn.Module) -> list[tuple[str, ...]]:
    """Names of the modules and parameters of each stage, from the input to the head."""
    blocks = [(f"blocks.{number}",) for number in range(len(model.blocks))]
    blocks[-1] += ("norm",)
    return [("cls_token", "patch_embedding"), *blocks, ("classification_head",)]
