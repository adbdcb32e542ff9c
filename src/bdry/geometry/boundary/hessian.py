"""The Hessian of F = f_own - f_other at one point, as a product with directions: exact or at a finite scale.

`HessianMethod`: (model, z, own, other) -> LocalHessian, with z one point of shape (1, ...). A method states its name
and its scale, for the tables (`method`, `h_or_beta`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.func import grad, jvp, vmap

from ...core.measuring import Model, logits_of
from ...core.seeds import generator
from .logit_gap import gap_and_gradient, same_pair
from .smoothness import refuse_kinked


@dataclass(frozen=True)
class LocalHessian:
    """At one point: the gradient of F, (d,), and the product (m, d) -> (m, d) of directions, as rows, with H_F."""

    gradient: Tensor
    product: Callable[[Tensor], Tensor]


class HessianMethod(Protocol):
    """What gives a Hessian at a point."""

    @property
    def name(self) -> str:
        """As in the tables' column `method`."""

    @property
    def scale(self) -> float:
        """Step h or width sigma in pixel units; nan for exact derivatives."""

    def __call__(self, model: Model, z: Tensor, own: int, other: int) -> LocalHessian:
        """At z, (1, ...), for one pair of classes."""


@dataclass(frozen=True)
class Exact:
    """Automatic second derivatives: forward over reverse, many directions at a time through one linearisation.

    The point itself goes through the network once for `chunk_size` directions: a product costs two tangent passes.
    Networks with kinks are refused (`refuse_kinked`).
    """

    chunk_size: int = 128
    name: str = "ad"
    scale: float = torch.nan

    def __call__(self, model: Model, z: Tensor, own: int, other: int) -> LocalHessian:
        """At z, (1, ...); raises `PiecewiseLinearError` where the network's layers are."""
        refuse_kinked(model)

        def difference(point: Tensor) -> Tensor:
            logits = logits_of(model, point[None])[0]
            return logits[own] - logits[other]

        slope = grad(difference)
        at = z[0].detach()

        def product(v: Tensor) -> Tensor:
            along = vmap(lambda tangent: jvp(slope, (at,), (tangent,))[1], chunk_size=self.chunk_size)
            found: Tensor = along(v.reshape(-1, *at.shape))
            return found.detach().flatten(1)

        return LocalHessian(slope(at).detach().flatten(), product)


EXACT = Exact()


@dataclass(frozen=True)
class CentralDifferences:
    """Hv = (grad F(z + h v) - grad F(z - h v)) / 2h for v of length 1: not symmetric where F has kinks.

    Reference: the authors' code lineage (docs/papers/fawzi2017.md), with h from `port_step`.
    """

    step: float
    chunk_size: int = 128
    name: str = "fd"

    @property
    def scale(self) -> float:
        """h, in pixel units."""
        return self.step

    def __call__(self, model: Model, z: Tensor, own: int, other: int) -> LocalHessian:
        """At z, (1, ...)."""
        _positive("step", self.step)
        gradient = _gradients(model, z, own, other)

        def product(v: Tensor) -> Tensor:
            length = v.norm(dim=1, keepdim=True)
            unit = (v / length.clamp_min(torch.finfo(v.dtype).tiny)).reshape(-1, *z.shape[1:])
            parts = [
                (_gradients(model, z + self.step * u, own, other) - _gradients(model, z - self.step * u, own, other))
                for u in unit.split(self.chunk_size)
            ]
            return torch.cat(parts) / (2 * self.step) * length

        return LocalHessian(gradient[0], product)


@dataclass(frozen=True)
class Smoothed:
    """Of F blurred by a Gaussian of width sigma: H = E[(grad F(z + sigma u) - grad F(z - sigma u)) u^T] / (2 sigma).

    The mean of `draws` pairs, of rank 2 draws at most: many more draws than pixels are needed for single curvatures.
    Every point sees the same draws of `seed`. The gradient is the blurred one; z is on a level set of the blurred F
    that need not be 0.
    """

    sigma: float
    draws: int
    seed: int = 0
    chunk_size: int = 128
    name: str = "smoothed"

    @property
    def scale(self) -> float:
        """sigma, in pixel units."""
        return self.sigma

    def __call__(self, model: Model, z: Tensor, own: int, other: int) -> LocalHessian:
        """At z, (1, ...)."""
        _positive("sigma", self.sigma)
        d = z.numel()
        hessian, gradient = z.new_zeros(d, d), z.new_zeros(d)
        rng = generator(self.seed, "smoothed")
        for start in range(0, self.draws, self.chunk_size):
            count = min(self.chunk_size, self.draws - start)
            u = torch.randn(count, d, generator=rng, dtype=torch.float64).to(z)
            shift = self.sigma * u.reshape(-1, *z.shape[1:])
            ahead, behind = (_gradients(model, z + sign * shift, own, other) for sign in (1, -1))
            gradient += (ahead + behind).sum(0) / (2 * self.draws)
            hessian += (ahead - behind).T @ u / (2 * self.sigma * self.draws)
        return LocalHessian(gradient, lambda v: v @ hessian.T)


def port_step(num_pixels: int, c: float = 10.0) -> float:
    """h = sqrt(d) c / 512 in pixel units: a root mean square of c / 512 a pixel (docs/papers/fawzi2017.md).

    Args:
        num_pixels: d.
        c: of 512 parts of a pixel unit.
    """
    return num_pixels**0.5 * c / 512


def _gradients(model: Model, z: Tensor, own: int, other: int) -> Tensor:
    """grad F at points (m, ...), (m, d)."""
    return gap_and_gradient(model, z, *same_pair(own, other, len(z), z.device))[2].flatten(1)


def _positive(name: str, value: float) -> None:
    if not value > 0:
        raise ValueError(f"{name}={value}: must be above 0")
