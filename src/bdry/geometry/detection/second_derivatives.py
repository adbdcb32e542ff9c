"""Second derivatives along directions, of all logits at once: what statistics of random directions are made of.

Exact ones are forward over forward (a jvp of a jvp). At a finite `step` h they are second differences
(f(z + h v) + f(z - h v) - 2 f(z)) / h^2, the only ones that a piecewise linear network has.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.func import grad, jvp

from ...core.measuring import Model, logits_of
from ..boundary.logit_gap import pair_gap
from ..boundary.smoothness import refuse_kinked, refuse_piecewise_linear

# sums whose terms cancel down to this many units of rounding are 0
ROUNDING = 100


@torch.no_grad()
def second_derivatives(model: Model, z: Tensor, directions: Tensor, step: float | None, batch_size: int) -> Tensor:
    """v^T H_f v of every logit f at N points along T directions of their own: z (N, ...), directions (N, T, ...).

    Args:
        step: None for exact derivatives; h, in pixel units for a v of length 1, for second differences; those that
            are within rounding of 0 are 0.
        batch_size: points that go through the model at a time.

    Returns:
        (N, T, K).

    Raises:
        ValueError: `step` is not positive, or None for a network whose activations have kinks.
    """
    if step is None:
        refuse_kinked(model)
    elif not step > 0:
        raise ValueError(f"step={step}: must be above 0")
    count = directions.shape[1]
    flat, points = directions.flatten(0, 1), z.repeat_interleave(count, 0)
    if step is None:
        pairs = zip(points.split(batch_size), flat.split(batch_size), strict=True)
        found = [_exact(model, at, v) for at, v in pairs]
    else:
        here = logits_of(model, z).repeat_interleave(count, 0)
        triples = zip(points.split(batch_size), flat.split(batch_size), here.split(batch_size), strict=True)
        found = [_difference(model, at, v, value, step) for at, v, value in triples]
    return torch.cat(found).unflatten(0, directions.shape[:2])


def of_pair(second: Tensor, first: Tensor, other: Tensor) -> Tensor:
    """Those of f_first - f_other, (N, T), from those of all logits, (N, T, K)."""
    rows = torch.arange(len(second), device=second.device)
    return second[rows, :, first] - second[rows, :, other]


def check_bends(model: Model, z: Tensor, second: Tensor, own: Tensor, other: Tensor) -> None:
    """Raises where exact second derivatives, (N, T, K), are all 0 although f_own - f_other is not affine.

    Raises:
        PiecewiseLinearError: the model is piecewise linear, in a way that its layers do not show.
    """
    if len(z) and not bool((second != 0).any()):
        refuse_piecewise_linear(model, z, own, other)


def hessian_product(model: Model, z: Tensor, v: Tensor, first: Tensor, other: Tensor) -> Tensor:
    """H_F(z_i) v_i of F = f_first - f_other, one direction a point: z and v (N, ...) -> (N, ...)."""

    def total(y: Tensor) -> Tensor:
        return pair_gap(logits_of(model, y), first, other).sum()

    product: Tensor = jvp(grad(total), (z,), (v,))[1]
    return product.detach()


def rows_at_once(batch_size: int, directions: int) -> int:
    """How many images with their directions make a batch of that many points; one at least.

    Raises:
        ValueError: no directions are asked for.
    """
    if directions < 1:
        raise ValueError(f"directions={directions}: must be at least 1")
    return max(1, batch_size // directions)


def zero_rounding(total: Tensor, scale: Tensor) -> Tensor:
    """`total`, and 0 where it is rounding: a sum of terms whose magnitudes add up to `scale`."""
    return torch.where(total.abs() <= ROUNDING * torch.finfo(total.dtype).eps * scale, 0.0, total)


def _exact(model: Model, z: Tensor, v: Tensor) -> Tensor:
    def slope(y: Tensor) -> Tensor:
        derivative: Tensor = jvp(partial(logits_of, model), (y,), (v,))[1]
        return derivative

    second: Tensor = jvp(slope, (z,), (v,))[1]
    return second


def _difference(model: Model, z: Tensor, v: Tensor, here: Tensor, step: float) -> Tensor:
    ahead, behind = logits_of(model, z + step * v), logits_of(model, z - step * v)
    scale = (ahead.abs() + behind.abs() + 2 * here.abs()).amax(1, keepdim=True)
    return zero_rounding(ahead + behind - 2 * here, scale) / step**2
