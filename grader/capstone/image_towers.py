"""Image towers: a small convolutional one for processors, a vision transformer for graphics cards.

Every tower maps normalised pixels, float (batch, 3, size, size), to features, float (batch, features), and names its
width in `features`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConvolutionalTower(nn.Module):
    """A residual network of four stages (He et al. 2016) with BatchNorm, about one million parameters.

    The stem halves the resolution at once and every stage halves it again, so that a 40-pixel drawing costs some 12
    million multiplications.
    """

    def __init__(self, widths: tuple[int, ...] = (32, 64, 128, 192)) -> None:
        super().__init__()
        stages: list[nn.Module] = [_convolution(3, widths[0], stride=2)]
        for width_in, width_out in zip(widths, widths[1:], strict=False):
            stages += [_convolution(width_in, width_out, stride=2), ResidualBlock(width_out)]
        self.stages = nn.Sequential(*stages)
        self.features = widths[-1] * 2

    def forward(self, pixels: Tensor) -> Tensor:
        maps = self.stages(pixels)  # (batch, width, rows, columns)
        return torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1)  # (batch, 2 * width)


class ResidualBlock(nn.Module):
    """x + two convolutions of x, at one width and resolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _convolution(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))

    def forward(self, maps: Tensor) -> Tensor:
        return F.relu(maps + self.second(self.first(maps)))


def _convolution(width_in: int, width_out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width_in, width_out, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(width_out),
        nn.ReLU(inplace=True),
    )


class TransformerTower(nn.Module):
    """A vision transformer (Dosovitskiy et al. 2021) from transformers, ViT-S/8 by default: the mean of its patches.

    With patches of 8 pixels a 72-pixel drawing becomes 81 tokens; attention is torch's fused kernel.
    """

    def __init__(self, size: int = 72, patch: int = 8, width: int = 384, layers: int = 12, heads: int = 6) -> None:
        super().__init__()
        from transformers import ViTConfig, ViTModel

        configuration = ViTConfig(
            image_size=size,
            patch_size=patch,
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=4 * width,
        )
        configuration._attn_implementation = "sdpa"
        self.transformer = ViTModel(configuration, add_pooling_layer=False)
        self.features = width

    def forward(self, pixels: Tensor) -> Tensor:
        hidden = self.transformer(pixels).last_hidden_state  # (batch, 1 + patches, width)
        return hidden[:, 1:].mean(dim=1)
