"""GoogLeNet in the 32x32 form with batch-norm that DeepDIG uses (Szegedy et al. 2015, arXiv 1409.4842)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .classifier import ACTIVATIONS, ARCHITECTURES

# for each inception block: 1x1; 3x3 reduced, 3x3; 5x5 reduced, 5x5; pooled
BLOCKS = {
    "a3": (64, 96, 128, 16, 32, 32),
    "b3": (128, 128, 192, 32, 96, 64),
    "a4": (192, 96, 208, 16, 48, 64),
    "b4": (160, 112, 224, 24, 64, 64),
    "c4": (128, 128, 256, 24, 64, 64),
    "d4": (112, 144, 288, 32, 64, 64),
    "e4": (256, 160, 320, 32, 128, 128),
    "a5": (256, 160, 320, 32, 128, 128),
    "b5": (384, 192, 384, 48, 128, 128),
}


def _convolution(num_in: int, num_out: int, size: int, activation: str) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(num_in, num_out, size, padding=size // 2),
        nn.BatchNorm2d(num_out),
        ACTIVATIONS[activation](),
    )


class Inception(nn.Module):
    """Four branches side by side; the "5x5" one is two 3x3 convolutions."""

    def __init__(self, num_in: int, widths: tuple[int, int, int, int, int, int], activation: str) -> None:
        super().__init__()
        one, three_in, three, five_in, five, pooled = widths
        self.branches = nn.ModuleList(
            [
                _convolution(num_in, one, 1, activation),
                nn.Sequential(
                    _convolution(num_in, three_in, 1, activation),
                    _convolution(three_in, three, 3, activation),
                ),
                nn.Sequential(
                    _convolution(num_in, five_in, 1, activation),
                    _convolution(five_in, five, 3, activation),
                    _convolution(five, five, 3, activation),
                ),
                nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), _convolution(num_in, pooled, 1, activation)),
            ]
        )
        self.num_out = one + three + five + pooled

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, num_out, H, W)."""
        return torch.cat([branch(x) for branch in self.branches], dim=1)


@ARCHITECTURES.register("googlenet")
def googlenet(image_shape: tuple[int, int, int], activation: str) -> nn.Module:
    """3x3 stem of 192 channels, nine inception blocks, 1024 features (arXiv 1912.11460, authors' code)."""
    layers: list[nn.Module] = [_convolution(image_shape[0], 192, 3, activation)]
    num_in = 192
    for name, widths in BLOCKS.items():
        if name in ("a4", "a5"):
            layers.append(nn.MaxPool2d(3, stride=2, padding=1))
        block = Inception(num_in, widths, activation)
        layers.append(block)
        num_in = block.num_out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
