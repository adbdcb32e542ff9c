"""Fully connected networks: `linear`, `mlp` of any widths and DeepDIG's `fcn`."""

from __future__ import annotations

import math

from torch import nn

from .classifier import ARCHITECTURES, fully_connected


@ARCHITECTURES.register("linear")
def linear(image_shape: tuple[int, int, int]) -> nn.Module:
    """No hidden layer: the features are the normalised pixels."""
    return nn.Flatten()


@ARCHITECTURES.register("mlp", "fcn")
def mlp(image_shape: tuple[int, int, int], widths: list[int], activation: str) -> nn.Module:
    """Hidden layers of `widths`; 50-50 is DeepDIG's FCN (arXiv 1912.11460, authors' code)."""
    return fully_connected(math.prod(image_shape), widths, activation)
