"""Norms, their duals and projections, batched over the first dimension. Pixel units of [0, 1]."""

from __future__ import annotations

import torch
from torch import Tensor

from ..names import NORMS


def check_norm(name: str) -> None:
    """Raises `ValueError` where `name` is no norm of ours."""
    if name not in NORMS:
        raise ValueError(f"norm={name!r}: must be one of {', '.join(NORMS)}")


def per_sample(values: Tensor, like: Tensor) -> Tensor:
    """`values` of shape (N,) with trailing dimensions of size 1, to broadcast against `like` of shape (N, ...)."""
    return values.reshape(-1, *[1] * (like.ndim - 1))


def norm(x: Tensor, name: str) -> Tensor:
    """The l2 or linf norm of each sample: (N, ...) -> (N,)."""
    flat = x.flatten(1)
    if name == "l2":
        # added up in float64: squares of 1e+-20 are no float32, and the sum does not depend on its order
        return torch.linalg.vector_norm(flat, dim=1, dtype=torch.float64).to(x.dtype)
    return flat.abs().amax(dim=1)


def dual_norm(x: Tensor, name: str) -> Tensor:
    """The norm dual to `name` of each sample: l2 for l2, l1 for linf; (N, ...) -> (N,)."""
    return norm(x, "l2") if name == "l2" else x.flatten(1).abs().sum(dim=1)


def steepest(gradient: Tensor, name: str) -> Tensor:
    """The direction d of unit norm `name` with <gradient, d> = dual norm of the gradient; 0 where the gradient is 0.

    l2: g / ||g||_2. linf: sign(g). Shape (N, ...) -> (N, ...).
    """
    if name == "linf":
        return gradient.sign()
    length = per_sample(norm(gradient, "l2"), gradient)
    return torch.where(length > 0, gradient / length.clamp_min(torch.finfo(gradient.dtype).tiny), 0.0)


def project_ball(delta: Tensor, name: str, eps: float | Tensor) -> Tensor:
    """Each sample's l2-nearest point of the ball around 0 of radius `eps`, one for all or (N,); (N, ...) -> same."""
    bound = per_sample(torch.as_tensor(eps, dtype=delta.dtype, device=delta.device).expand(len(delta)), delta)
    if name == "linf":
        return torch.minimum(torch.maximum(delta, -bound), bound)
    length = per_sample(norm(delta, "l2"), delta)
    return delta * (bound / length.clamp_min(torch.finfo(delta.dtype).tiny)).clamp_max(1.0)


def random_in_ball(shape: torch.Size, name: str, eps: float, generator: torch.Generator) -> Tensor:
    """A point uniform in each sample's ball of radius `eps`; drawn on the CPU in float32."""
    if name == "linf":
        return (2 * torch.rand(shape, generator=generator) - 1) * eps
    direction = torch.randn(shape, generator=generator)
    dimensions = shape[1:].numel()
    radius = torch.rand(shape[:1], generator=generator) ** (1 / dimensions)
    return steepest(direction, "l2") * per_sample(radius, direction) * eps
