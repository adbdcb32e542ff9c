"""From a point near the boundary F = f_own - f_other = 0 onto it, or to the point of it that is nearest to the image.

At z, with g the gradient of F, the linearised boundary has a foot below the image x,

    foot(z) = x + [((z - x) . g - F(z)) / ||g||^2] g,

and a nearest boundary point is its own foot. z moves a share of the way to its foot, again and again.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ...core.measuring import Model
from ...core.norms import per_sample
from .logit_gap import gap_and_gradient

# a share of the way to the foot below this has nowhere nearer to go
SMALLEST_SHARE = 2.0**-10
# weight of |F| / ||g||, the distance to the boundary, against the distance to the image; above 1 a minimum is exact
PENALTY = 2.0


class Refined(NamedTuple):
    """point, (N, ...), F there, (N,), its gradient, the logits, (N, K), whether |F| is at rounding; gradients paid."""

    point: Tensor
    value: Tensor
    gradient: Tensor
    logits: Tensor
    on_boundary: Tensor
    iterations: Tensor


def to_boundary(model: Model, z: Tensor, own: Tensor, other: Tensor, *, steps: int = 20) -> Refined:
    """Newton's steps along the gradient, until |F| is below 1e-10 or rounding; other rows are not on the boundary.

    Args:
        model: points (N, ...) to logits (N, K).
        z: (N, ...), near the boundary.
        own: (N,) int64, the classes on the image's side of the boundary.
        other: (N,) int64, the classes beyond.
        steps: Newton's steps at most.
    """
    z = z.clone()
    logits, value, gradient = gap_and_gradient(model, z, own, other)
    iterations = torch.ones_like(own)
    for _ in range(steps):
        squared = gradient.flatten(1).square().sum(1)
        rows = ((value.abs() > tolerance(logits)) & value.isfinite() & (squared > 0)).nonzero()[:, 0]
        if rows.numel() == 0:
            break
        z[rows] -= per_sample(value[rows] / squared[rows], z) * gradient[rows]
        logits[rows], value[rows], gradient[rows] = gap_and_gradient(model, z[rows], own[rows], other[rows])
        iterations[rows] += 1
    return Refined(z, value, gradient, logits, value.abs() <= tolerance(logits), iterations)


def to_nearest(model: Model, x: Tensor, z: Tensor, own: Tensor, other: Tensor, *, steps: int = 40) -> Refined:
    """The boundary point nearest to x that foot-point steps from z lead to, then Newton's steps onto the boundary.

    A step must lower ||z - x|| + 2 |F| / ||g||, else it is halved and tried again, so that a strongly curved boundary
    does not throw it off. The first goes half of the way; the share of later ones follows from the
    last two feet (Barzilai and Borwein 1988), since the best is 1 / (1 + curvature x distance).

    Args:
        model: points (N, ...) to logits (N, K).
        x: (N, ...).
        z: (N, ...).
        own: (N,).
        other: (N,).
        steps: gradients that a row may take.
    """
    z = z.clone()
    _, value, gradient = gap_and_gradient(model, z, own, other)
    residual, merit = _foot(x, z, value, gradient) - z, _merit(x, z, value, gradient)
    share = torch.full_like(value, 0.5)
    iterations = torch.ones_like(own)
    alive = merit.isfinite().nonzero()[:, 0]
    for _ in range(steps):
        small = torch.finfo(z.dtype).eps ** 0.5 * (z - x)[alive].flatten(1).norm(dim=1)
        going = (residual[alive].flatten(1).norm(dim=1) > small) & (share[alive] >= SMALLEST_SHARE)
        alive = alive[going]
        if alive.numel() == 0:
            break
        step = per_sample(share[alive], z) * residual[alive]
        there = z[alive] + step
        _, value, gradient = gap_and_gradient(model, there, own[alive], other[alive])
        iterations[alive] += 1
        found = _foot(x[alive], there, value, gradient) - there
        height = _merit(x[alive], there, value, gradient)
        lower = height < merit[alive]
        share[alive[~lower]] /= 2
        rows = alive[lower]
        change = (residual[alive] - found).flatten(1)
        curved = (step.flatten(1) * change).sum(1)
        ratio = step.flatten(1).square().sum(1) / curved
        share[rows] = torch.where(curved > 0, ratio, 1.0).clamp(0.1, 2.0)[lower]
        z[rows], residual[rows], merit[rows] = there[lower], found[lower], height[lower]
    refined = to_boundary(model, z, own, other)
    return refined._replace(iterations=refined.iterations + iterations)


def tolerance(logits: Tensor) -> Tensor:
    """|F| at which a point counts as on the boundary: 1e-10, or rounding of the logits; (N,)."""
    return (16 * torch.finfo(logits.dtype).eps * logits.abs().amax(1)).clamp_min(1e-10)


def _foot(x: Tensor, z: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
    along = ((z - x) * gradient).flatten(1).sum(1) - value
    return x + per_sample(along / gradient.flatten(1).square().sum(1), x) * gradient


def _merit(x: Tensor, z: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
    return (z - x).flatten(1).norm(dim=1) + PENALTY * value.abs() / gradient.flatten(1).norm(dim=1)
