"""Normal curvatures of the boundary F = f_own - f_other = 0 along given tangents, and their mean by Hutchinson.

At a point with gradient g, P = I - g g^T / ||g||^2 and G = P H_F P / ||g||, the normal curvature along a tangent v is
v^T G v / ||v||^2. Positive: the boundary bends away from the side of `own`. An increasing function of F has the same G.
(docs/papers/fawzi2017.md)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...core.measuring import Model
from .hessian import EXACT, HessianMethod
from .smoothness import refuse_piecewise_linear


@dataclass(frozen=True)
class MeanCurvature:
    """Hutchinson's estimate of trace(G) / (d - 1), (N,), and its standard error from the probes' spread, (N,)."""

    mean: Tensor
    standard_error: Tensor


def tangent_forms(
    model: Model, z: Tensor, own: Tensor, other: Tensor, directions: Tensor, *, hessian: HessianMethod = EXACT
) -> Tensor:
    """v^T G v of directions (N, m, ...) at points z (N, ...), (N, m); along a unit tangent it is the normal curvature.

    Points that are not finite, or whose gradient is 0, give nan.

    Args:
        model: points (N, ...) to logits (N, K).
        z: (N, ...).
        own: (N,) int64, the classes on the image's side of the boundary.
        other: (N,) int64, the classes beyond.
        directions: (N, m, ...).
        hessian: of second derivatives: exact, or at a finite scale, which piecewise linear networks need.

    Raises:
        PiecewiseLinearError: exact derivatives of a piecewise linear network.
    """
    found = torch.full(directions.shape[:2], torch.nan, dtype=z.dtype, device=z.device)
    flat, is_zero = directions.flatten(2), []
    for row in z.flatten(1).isfinite().all(1).nonzero()[:, 0].tolist():
        local = hessian(model, z[row : row + 1], int(own[row]), int(other[row]))
        length = local.gradient.norm()
        normal = local.gradient / length
        v = flat[row] - (flat[row] @ normal)[:, None] * normal
        product = local.product(v)
        is_zero.append(not bool(product.any()))
        found[row] = (v * product).sum(1) / length
    if is_zero and all(is_zero):
        refuse_piecewise_linear(model, z, own, other)
    return found


def mean_curvature(
    model: Model,
    z: Tensor,
    own: Tensor,
    other: Tensor,
    *,
    num_probes: int,
    rng: torch.Generator,
    hessian: HessianMethod = EXACT,
) -> MeanCurvature:
    """Mean curvature by Gaussian probes, drawn for one point after the other; takes `num_probes` products a point.

    The error falls as sqrt(2) ||G|| / ((d - 1) sqrt(T)) with T = `num_probes`. Arguments else as in `tangent_forms`.

    Args:
        model: points (N, ...) to logits (N, K).
        z: (N, ...).
        own: (N,) int64, the classes on the image's side of the boundary.
        other: (N,) int64, the classes beyond.
        num_probes: T, random directions at each point.
        rng: a generator of the CPU.
        hessian: of second derivatives: exact, or at a finite scale, which piecewise linear networks need.
    """
    probes = torch.empty(len(z), num_probes, *z.shape[1:], dtype=z.dtype)
    for row in probes:
        row.normal_(generator=rng)
    forms = tangent_forms(model, z, own, other, probes.to(z.device), hessian=hessian) / (z.shape[1:].numel() - 1)
    return MeanCurvature(forms.mean(1), forms.std(1) / num_probes**0.5)
