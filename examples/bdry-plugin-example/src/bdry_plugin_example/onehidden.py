"""`arch=onehidden`: a two-layer network."""

import math

from torch import nn

from bdry.models import ARCHITECTURES
from bdry.models.classifier import fully_connected


@ARCHITECTURES.register("onehidden")
def onehidden(image_shape: tuple[int, int, int], activation: str, width: int) -> nn.Module:
    """One hidden layer: (N, C, H, W) -> (N, width). Normalisation and the linear head are added by bdry."""
    return fully_connected(math.prod(image_shape), [width], activation)
