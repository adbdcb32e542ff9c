"""`avgcnn`: a small convolutional network whose only bends are those of its activation."""

from __future__ import annotations

from torch import nn

from .classifier import ACTIVATIONS, ARCHITECTURES, flat_size, fully_connected


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
