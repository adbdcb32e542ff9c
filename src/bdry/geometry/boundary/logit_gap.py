"""The logit gap F = f_own - f_other of a pair of classes, whose zero set is their boundary; batched over points."""

from __future__ import annotations

import torch
from torch import Tensor

from ...core.measuring import Model, evaluate

# curvatures are meaningless without it: positive where the boundary bends away from the side of `own`
SIGN = "f_own - f_other"


def pair_gap(logits: Tensor, own: Tensor, other: Tensor) -> Tensor:
    """f_own - f_other, (N,).

    Args:
        logits: (N, K).
        own: (N,) int64, the class whose side is positive.
        other: (N,) int64.
    """
    return logits.gather(1, own[:, None])[:, 0] - logits.gather(1, other[:, None])[:, 0]


def gap_and_gradient(model: Model, z: Tensor, own: Tensor, other: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The logits at z, (N, K), F there, (N,), and its gradient, (N, ...).

    Args:
        model: x -> logits.
        z: (N, ...), pixel units.
        own: (N,) int64.
        other: (N,) int64.
    """
    z, logits = evaluate(model, z)
    with torch.enable_grad():
        value = pair_gap(logits, own, other)
        # a model that does not look at its input has gradient 0, not an error
        (gradient,) = torch.autograd.grad(value.sum(), z, allow_unused=True, materialize_grads=True)
    return logits.detach(), value.detach(), gradient


def same_pair(own: int, other: int, n: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """One pair of classes for n points, two (n,) int64.

    Args:
        own: the class on the image's side.
        other: the class beyond.
        n: points.
        device: where the tensors are.
    """
    return torch.full((n,), own, device=device), torch.full((n,), other, device=device)
