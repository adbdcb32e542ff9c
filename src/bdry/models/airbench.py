"""`airbench`: a fast network for 32x32 colour images, in the shape of Keller Jordan's airbench (arXiv 2404.00498)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .classifier import ACTIVATIONS, ARCHITECTURES


class ChannelsLast(nn.Module):
    """The batch in channels_last layout, which the convolutions behind it keep; the values stay the same."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        return x.contiguous(memory_format=torch.channels_last)


@ARCHITECTURES.register("airbench")
def airbench(image_shape: tuple[int, int, int], stem: int, widths: list[int], norm: str, activation: str) -> nn.Module:
    """A 2x2 convolution of `stem` channels, then for each width two 3x3 convolutions, pooling after the first.

    The features are the largest value of each channel. All of it is laid out channels_last, which makes the same
    convolutions up to 1.8 times as fast on CPUs (see benchmarks/frame.py).

    Args:
        widths: channels of each block, which halves height and width.
        norm: `batch`: batch-norm before each activation in the blocks; `none`.

    Differs: airbench's first convolution is fixed, whitens patches of the training images and has no bias of its own
    kind; ours is trained. Its batch-norm has no scale, its head divides by 9.
    """
    layers: list[nn.Module] = [nn.Conv2d(image_shape[0], stem, 2), ACTIVATIONS[activation]()]
    channels = stem
    for width in widths:
        layers += [_convolution(channels, width, norm), nn.MaxPool2d(2), *_bend(width, norm, activation)]
        layers += [_convolution(width, width, norm), *_bend(width, norm, activation)]
        channels = width
    body = nn.Sequential(ChannelsLast(), *layers, nn.AdaptiveMaxPool2d(1), nn.Flatten())
    # torch's annotations leave this argument of Module.to out
    return body.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _convolution(num_in: int, num_out: int, norm: str) -> nn.Module:
    return nn.Conv2d(num_in, num_out, 3, padding=1, bias=norm == "none")


def _bend(width: int, norm: str, activation: str) -> list[nn.Module]:
    return [*([nn.BatchNorm2d(width)] if norm == "batch" else []), ACTIVATIONS[activation]()]
