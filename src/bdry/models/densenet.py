"""DenseNet-40 of growth 12 (Huang et al. 2017, arXiv 1608.06993) as the authors of li2018 have it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .classifier import ACTIVATIONS, ARCHITECTURES

GROWTH, UNITS, BATCHNORM_EPS = 12, 12, 1e-3


class DenseUnit(nn.Module):
    """Batch-norm, activation, 3x3 convolution of `GROWTH` channels, which join those that came in."""

    def __init__(self, num_in: int, activation: str) -> None:
        super().__init__()
        self.new = nn.Sequential(*_normalised(num_in, activation), nn.Conv2d(num_in, GROWTH, 3, padding=1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """(N, num_in, H, W) -> (N, num_in + GROWTH, H, W)."""
        return torch.cat([x, self.new(x)], dim=1)


def _normalised(channels: int, activation: str) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels, eps=BATCHNORM_EPS), ACTIVATIONS[activation]()]


@ARCHITECTURES.register("densenet40")
def densenet40(image_shape: tuple[int, int, int], activation: str) -> nn.Module:
    """A 3x3 convolution of 16, three blocks of 12 units, 1x1 convolutions and pooling between, 4x4 average pooling.

    448 features of 28x28 images, 1,792 of 32x32. With `feature_dim=2` and 3 classes of MNIST it has the 1,015,851
    parameters of the authors' checkpoint, with 2 classes of CIFAR-10 the 1,018,824 (docs/papers/li2018.md).
    """
    layers: list[nn.Module] = [nn.Conv2d(image_shape[0], 16, 3, padding=1, bias=False)]
    channels = 16
    for block in range(3):
        for _ in range(UNITS):
            layers.append(DenseUnit(channels, activation))
            channels += GROWTH
        layers += _normalised(channels, activation)
        if block < 2:
            layers += [nn.Conv2d(channels, channels, 1, bias=False), nn.AvgPool2d(2)]
    return nn.Sequential(*layers, nn.AvgPool2d(4), nn.Flatten())
