"""Small networks without batch-norm: `linear`, `mlp` and DeepDIG's `fcn`; `lenet`, `cnn`, `plaincnn` and `avgcnn`."""

from __future__ import annotations

import math

from torch import nn

from .classifier import ACTIVATIONS, ARCHITECTURES, flat_size, fully_connected


@ARCHITECTURES.register("linear")
def linear(image_shape: tuple[int, int, int]) -> nn.Module:
    """No hidden layer: the features are the normalised pixels."""
    return nn.Flatten()


@ARCHITECTURES.register("mlp", "fcn")
def mlp(image_shape: tuple[int, int, int], widths: list[int], activation: str) -> nn.Module:
    """Hidden layers of `widths`; 50-50 is DeepDIG's FCN (arXiv 1912.11460, authors' code)."""
    return fully_connected(math.prod(image_shape), widths, activation)


@ARCHITECTURES.register("lenet")
def lenet(image_shape: tuple[int, int, int], activation: str) -> nn.Module:
    """LeNet-5 style: 5x5 convolutions of 6 and 16 channels, each with 2x2 max-pooling, then 120-84; no padding."""
    act = ACTIVATIONS[activation]
    convolutions = nn.Sequential(
        nn.Conv2d(image_shape[0], 6, 5), act(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), act(), nn.MaxPool2d(2)
    )
    return nn.Sequential(convolutions, fully_connected(flat_size(convolutions, image_shape), [120, 84], activation))


@ARCHITECTURES.register("cnn")
def cnn(image_shape: tuple[int, int, int], activation: str) -> nn.Module:
    """DeepDIG's CNN (arXiv 1912.11460, authors' code): two 3x3 convolutions of 10 channels, then 50.

    Pooling comes before the activation, as in that code.
    """
    act = ACTIVATIONS[activation]
    convolutions = nn.Sequential(
        nn.Conv2d(image_shape[0], 10, 3), nn.MaxPool2d(2), act(), nn.Conv2d(10, 10, 3), nn.MaxPool2d(2), act()
    )
    return nn.Sequential(convolutions, fully_connected(flat_size(convolutions, image_shape), [50], activation))


@ARCHITECTURES.register("plaincnn")
def plaincnn(image_shape: tuple[int, int, int], activation: str) -> nn.Module:
    """Padded 3x3 convolutions of 32, 32, 64 and 64 channels, max-pooling after the second and fourth, then 256."""
    act = ACTIVATIONS[activation]
    layers: list[nn.Module] = []
    channels = image_shape[0]
    for width in (32, 64):
        for _ in range(2):
            layers += [nn.Conv2d(channels, width, 3, padding=1), act()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    convolutions = nn.Sequential(*layers)
    return nn.Sequential(convolutions, fully_connected(flat_size(convolutions, image_shape), [256], activation))


@ARCHITECTURES.register("avgcnn")
def avgcnn(image_shape: tuple[int, int, int], activation: str) -> nn.Module:
    """Padded 3x3 convolutions of 8, 16 and 32 channels, each followed by 2x2 average pooling, then 64.

    Max-pooling is as kinked as ReLU: with it second derivatives miss a part of the boundary's curvature even where the
    activation is smooth. (docs/papers/fawzi2017.md, Bounds; the sizes are our choice.)
    """
    layers: list[nn.Module] = []
    channels = image_shape[0]
    for width in (8, 16, 32):
        layers += [nn.Conv2d(channels, width, 3, padding=1), ACTIVATIONS[activation](), nn.AvgPool2d(2)]
        channels = width
    convolutions = nn.Sequential(*layers)
    return nn.Sequential(convolutions, fully_connected(flat_size(convolutions, image_shape), [64], activation))
