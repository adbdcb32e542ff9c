"""Initial weights other than PyTorch's own, by torch.nn.init on every convolution and linear layer."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import nn

from ..errors import UsageError, did_you_mean

# each draws a weight tensor in place, as scheme(weight, generator=...)
SCHEMES: dict[str, Callable[..., object]] = {
    "kaiming": functools.partial(nn.init.kaiming_normal_, mode="fan_in", nonlinearity="relu"),
    "xavier": nn.init.xavier_uniform_,
    "orthogonal": nn.init.orthogonal_,
}


def initialise(network: nn.Module, scheme: str, draw: torch.Generator) -> None:
    """Draws the weights of all convolutions and linear layers, the head among them, anew and sets their biases to 0.

    The gain of ReLU (`kaiming`) and of no activation (`xavier`, `orthogonal`) holds for every layer and activation.
    Batch-norm stays as it is. `default` leaves all as PyTorch made it.

    Args:
        scheme: `kaiming`, normal of variance 2 / fan_in (He et al. 2015, arXiv 1502.01852); `xavier`, uniform of
            variance 2 / (fan_in + fan_out) (Glorot, Bengio 2010); `orthogonal`, rows or columns of the weight as a
            matrix (outputs x the rest) are orthonormal (Saxe et al. 2014, arXiv 1312.6120).

    Raises:
        UsageError: there is no such scheme.
    """
    if scheme == "default":
        return
    if scheme not in SCHEMES:
        raise UsageError(f"arch.init={scheme}: no such initialisation{did_you_mean(scheme, ['default', *SCHEMES])}")
    for layer in network.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            # drawn in the usual layout, whichever the layer's is
            fresh = torch.empty(layer.weight.shape)
            SCHEMES[scheme](fresh, generator=draw)
            with torch.no_grad():
                layer.weight.copy_(fresh)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
