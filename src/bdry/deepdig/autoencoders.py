"""The architectures of DeepDIG's autoencoders, each as many networks side by side with stacked weights.

Fully connected layers of P networks are one batched matrix product, convolutions one grouped convolution.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from ..names import AUTOENCODERS

ImageShape = tuple[int, int, int]


@dataclass(frozen=True)
class Dense:
    """A fully connected layer; weight (P, num_in, num_out), bias (P, 1, num_out)."""

    num_in: int
    num_out: int

    @property
    def shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Of weight and bias of one network."""
        return (self.num_in, self.num_out), (1, self.num_out)

    @property
    def fan_in(self) -> int:
        """How many numbers one output adds up."""
        return self.num_in

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """(P, B, ...) -> (P, B, num_out)."""
        return torch.baddbmm(bias, x.flatten(2), weight)


@dataclass(frozen=True)
class Convolution:
    """A convolution, or a transposed one; weight (P, out, in, k, k), transposed (P, in, out, k, k), bias (P, out)."""

    num_in: int
    num_out: int
    size: int
    stride: int
    padding: int
    transposed: bool = False

    @property
    def shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Of weight and bias of one network."""
        channels = (self.num_in, self.num_out) if self.transposed else (self.num_out, self.num_in)
        return (*channels, self.size, self.size), (self.num_out,)

    @property
    def fan_in(self) -> int:
        """As torch counts it, which for a transposed convolution is by its outputs."""
        return self.shapes[0][1] * self.size**2

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """(P, B, in, H, W) -> (P, B, out, H', W')."""
        convolve = F.conv_transpose2d if self.transposed else F.conv2d
        grouped = convolve(
            x.transpose(0, 1).flatten(1, 2),
            weight.flatten(0, 1),
            bias.flatten(),
            stride=self.stride,
            padding=self.padding,
            groups=len(weight),
        )
        return grouped.unflatten(1, (len(weight), self.num_out)).transpose(0, 1)


Layer = Dense | Convolution
Weights = list[Tensor]


@AUTOENCODERS.register("fc")
def fully_connected(image_shape: ImageShape, widths: Sequence[int] = (100, 50)) -> list[Layer]:
    """784-100-50-784 for MNIST, 123,534 parameters (docs/papers/karimi2020.md, from the code)."""
    size = math.prod(image_shape)
    sizes = [size, *widths, size]
    return [Dense(num_in, num_out) for num_in, num_out in pairwise(sizes)]


@AUTOENCODERS.register("conv")
def convolutional(image_shape: ImageShape, widths: Sequence[int] = (12, 24, 48)) -> list[Layer]:
    """4x4 convolutions of stride 1 and back: 47,355 parameters, no bottleneck (docs/papers/karimi2020.md)."""
    return _there_and_back(image_shape, widths, stride=1)


@AUTOENCODERS.register("bottleneck")
def bottleneck(image_shape: ImageShape, widths: Sequence[int] = (12, 24, 48)) -> list[Layer]:
    """The same with stride 2: for 32x32 a code of 48x4x4, a quarter of the image (docs/papers/karimi2020.md).

    Raises `ValueError` where height or width is not a multiple of 2 to the number of layers.
    """
    if any(side % 2 ** len(widths) for side in image_shape[1:]):
        shape = "x".join(map(str, image_shape))
        raise ValueError(
            f"bottleneck: the sides of {shape} images are no multiples of {2 ** len(widths)}; fc takes any size"
        )
    return _there_and_back(image_shape, widths, stride=2)


def _there_and_back(image_shape: ImageShape, widths: Sequence[int], stride: int) -> list[Layer]:
    channels = [image_shape[0], *widths]
    steps = list(pairwise(channels))
    there: list[Layer] = [Convolution(num_in, num_out, 4, stride, 1) for num_in, num_out in steps]
    return there + [Convolution(num_out, num_in, 4, stride, 1, transposed=True) for num_in, num_out in reversed(steps)]


def usual_autoencoder(image_shape: ImageShape) -> str:
    """The authors' choice: fully connected for grey images, convolutional for colour ones."""
    return "fc" if image_shape[0] == 1 else "conv"


def initial_weights(layers: Sequence[Layer], rngs: Sequence[torch.Generator]) -> Weights:
    """Weight and bias of each layer, stacked over networks: torch's default, uniform within 1 / sqrt(fan in).

    Each network draws from its own of `rngs`, hence the same whatever it is stacked with.
    """
    networks = [
        [
            (2 * torch.rand(shape, generator=rng) - 1) / math.sqrt(layer.fan_in)
            for layer in layers
            for shape in layer.shapes
        ]
        for rng in rngs
    ]
    return [torch.stack(tensors) for tensors in zip(*networks, strict=True)]


def decode(layers: Sequence[Layer], weights: Weights, x: Tensor, drop: Callable[[Tensor], Tensor]) -> Tensor:
    """What the sigmoid at the end of each network takes: (P, B, C, H, W) -> the same. `drop` follows every ReLU."""
    hidden = x
    for i, layer in enumerate(layers):
        hidden = layer(hidden, weights[2 * i], weights[2 * i + 1])
        if i < len(layers) - 1:
            hidden = drop(F.relu(hidden))
    return hidden.reshape(x.shape)


@dataclass(frozen=True)
class Autoencoder:
    """One trained network; `weights` as in `initial_weights`, P = 1."""

    layers: Sequence[Layer]
    weights: Weights

    @torch.no_grad()
    def __call__(self, x: Tensor, batch_size: int = 1024) -> Tensor:
        """Images in [0, 1], (N, C, H, W) -> the same."""
        parts = [
            decode(self.layers, self.weights, part[None], lambda h: h)[0].sigmoid() for part in x.split(batch_size)
        ]
        return torch.cat(parts) if parts else x.clone()
