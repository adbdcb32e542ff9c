"""`airbench`: a fast network for 32x32 colour images, in the shape of Keller Jordan's airbench (arXiv 2404.00498)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..errors import ConfigError
from .classifier import ACTIVATIONS, ARCHITECTURES, Classifier

# what is added to the variance of each direction of patches: noise is not blown up
EPSILON = 5e-4


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

    Differs: airbench's first convolution whitens patches, which ours does after `whiten` alone. Its batch-norm has no
    scale, its convolutions begin near the identity, its head divides by 9.
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


@torch.no_grad()
def whiten(classifier: Classifier, images: Tensor) -> None:
    """Makes the first convolution whiten 2x2 patches of `images`, and keeps it so; in place.

    Its channels are the eigenvectors of the patches' second moments, each over the root of its eigenvalue, and their
    negatives. Its bias, if it has one, begins at 0 and is trained.

    Args:
        classifier: an `airbench`, with or without a feature layer.
        images: (N, C, H, W), in pixel units of [0, 1].

    Raises:
        ConfigError: the convolution has another number of channels.

    Source: arXiv 2404.00498.
    """
    stem = next(module for module in classifier.body.modules() if isinstance(module, nn.Conv2d))
    filters = stem.weight[0].numel()
    if stem.out_channels != 2 * filters:
        problem = f"with whiten=true it must be {2 * filters}, two for each number of a 2x2 patch"
        raise ConfigError("arch.stem", stem.out_channels, problem)
    patches = nn.functional.unfold(classifier.normalise(images), 2).transpose(1, 2).flatten(0, 1).double()
    variances, directions = torch.linalg.eigh(patches.T @ patches / len(patches))
    # an eigenvector has no sign of its own
    largest = directions.gather(0, directions.abs().argmax(0, keepdim=True))
    rows = (directions * largest.sign() / (variances.clamp_min(0) + EPSILON).sqrt()).T
    stem.weight.copy_(torch.cat([rows, -rows]).view(stem.weight.shape))
    stem.weight.requires_grad_(False)
    if stem.bias is not None:
        stem.bias.zero_()


def _convolution(num_in: int, num_out: int, norm: str) -> nn.Module:
    return nn.Conv2d(num_in, num_out, 3, padding=1, bias=norm == "none")


def _bend(width: int, norm: str, activation: str) -> list[nn.Module]:
    return [*([nn.BatchNorm2d(width)] if norm == "batch" else []), ACTIVATIONS[activation]()]
