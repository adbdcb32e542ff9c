"""Residual networks: ResNets in their 32x32 form, and the small one of li2018's authors.

The first have a 3x3 stem, no stem pooling and basic blocks (He et al. 2016, arXiv 1512.03385), `bottleneck29` has
pre-activation bottleneck blocks as tflearn builds them.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from .classifier import ACTIVATIONS, ARCHITECTURES


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch-norm and a shortcut, projected by a 1x1 convolution where the shape changes."""

    def __init__(self, num_in: int, num_out: int, stride: int, activation: str) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(num_in, num_out, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(num_out),
            ACTIVATIONS[activation](),
            nn.Conv2d(num_out, num_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(num_out),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or num_in != num_out:
            self.shortcut = nn.Sequential(nn.Conv2d(num_in, num_out, 1, stride, bias=False), nn.BatchNorm2d(num_out))
        self.activation = ACTIVATIONS[activation]()

    def forward(self, x: Tensor) -> Tensor:
        """(N, num_in, H, W) -> (N, num_out, H / stride, W / stride)."""
        y: Tensor = self.activation(self.residual(x) + self.shortcut(x))
        return y


def _resnet(num_channels: int, blocks: tuple[int, ...], activation: str) -> nn.Module:
    layers: list[nn.Module] = [
        nn.Conv2d(num_channels, 64, 3, padding=1, bias=False),
        nn.BatchNorm2d(64),
        ACTIVATIONS[activation](),
    ]
    num_in = 64
    for stage, count in enumerate(blocks):
        for block in range(count):
            stride = 2 if stage > 0 and block == 0 else 1
            layers.append(BasicBlock(num_in, 64 * 2**stage, stride, activation))
            num_in = 64 * 2**stage
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


@ARCHITECTURES.register("resnet18")
def resnet18(image_shape: tuple[int, int, int], activation: str) -> nn.Module:
    """ResNet-18: 2-2-2-2 basic blocks, 512 features."""
    return _resnet(image_shape[0], (2, 2, 2, 2), activation)


@ARCHITECTURES.register("resnet34")
def resnet34(image_shape: tuple[int, int, int], activation: str) -> nn.Module:
    """ResNet-34: 3-4-6-3 basic blocks, 512 features; DeepDIG's "ResNet" (arXiv 1912.11460, authors' code)."""
    return _resnet(image_shape[0], (3, 4, 6, 3), activation)


# (blocks, width of the bottleneck, channels out, stride) of each group
GROUPS = ((3, 16, 64, 1), (1, 32, 128, 2), (2, 32, 128, 1), (1, 64, 256, 2), (2, 64, 256, 1))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions; the shortcut is pooled and filled up with channels of 0, it has no weights."""

    def __init__(self, num_in: int, width: int, num_out: int, stride: int, activation: str) -> None:
        super().__init__()
        act = ACTIVATIONS[activation]
        self.stride, self.filled = stride, (num_out - num_in) // 2
        self.residual = nn.Sequential(
            nn.BatchNorm2d(num_in),
            act(),
            nn.Conv2d(num_in, width, 1, stride),
            nn.BatchNorm2d(width),
            act(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.Conv2d(width, num_out, 1),
            act(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, num_in, H, W) -> (N, num_out, H / stride, W / stride), rounded up as a strided convolution does."""
        shortcut = F.avg_pool2d(x, self.stride, self.stride, ceil_mode=True) if self.stride > 1 else x
        y: Tensor = self.residual(x) + F.pad(shortcut, [0, 0, 0, 0, self.filled, self.filled])
        return y


@ARCHITECTURES.register("bottleneck29")
def bottleneck29(image_shape: tuple[int, int, int], activation: str) -> nn.Module:
    """A 3x3 convolution of 64, nine bottleneck blocks up to 256 channels, average pooling, a layer of 200.

    With `feature_dim=2` and 2 classes of MNIST it has the 321,824 parameters of the authors' checkpoint
    (docs/papers/li2018.md).

    Differs: the authors' batch-norm ran on its initial statistics, by a mode of tflearn's that was never switched on;
    ours is ordinary batch-norm. tflearn versions differ in whether a block without a change of channels adds its
    input; ours does.
    """
    act = ACTIVATIONS[activation]
    layers: list[nn.Module] = [nn.Conv2d(image_shape[0], 64, 3, padding=1, bias=False), act()]
    num_in = 64
    for count, width, num_out, stride in GROUPS:
        for _ in range(count):
            layers.append(Bottleneck(num_in, width, num_out, stride, activation))
            num_in = num_out
    layers += [nn.BatchNorm2d(num_in), act(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(num_in, 200), act()]
    return nn.Sequential(*layers)
