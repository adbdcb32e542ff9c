"""Extreme principal curvatures at a finite scale, which piecewise linear networks have too.

A boundary's height has to be looked up in every direction and pair of directions, so that only a few can be searched:
those that central differences of the gradient, symmetrised, call most curved. Their own curvatures are not believed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...core.measuring import Model
from .finite_scale import geometric_matrix
from .hessian import CentralDifferences
from .points import BoundaryPoints
from .spectrum import dense_spectrum, extreme_spectrum


def candidate_tangents(model: Model, points: BoundaryPoints, *, ends: int, step: float, dense: bool) -> Tensor:
    """Orthonormal tangents in which the boundary may be most curved, (N, k, ...), k = min(2 ends, d - 1).

    Args:
        model: points (N, ...) to logits (N, K).
        points: all of them found.
        ends: directions of each sign.
        step: of the central differences, pixel units.
        dense: from all d columns of the Hessian, else by Lanczos' method, which takes it for symmetric.

    Returns:
        nan rows where these do not exist, as of a gradient of 0.
    """
    size = points.start.shape[1:].numel() - 1
    hessian = CentralDifferences(step)
    if 2 * ends >= size:
        found = dense_spectrum(model, points.point, points.own, points.other, num_directions=size, hessian=hessian)
        return found.directions[:, :size]
    solve = dense_spectrum if dense else extreme_spectrum
    return solve(model, points.point, points.own, points.other, num_directions=ends, hessian=hessian).directions


def principal_at_scale(
    model: Model, points: BoundaryPoints, tangents: Tensor, *, scale: float
) -> tuple[Tensor, Tensor]:
    """Principal curvatures -2 s / t^2 within the span of orthonormal tangents, and their directions.

    Args:
        model: points (N, ...) to logits (N, K).
        points: all of them found.
        tangents: (N, k, ...).
        scale: t, pixel units.

    Returns:
        curvatures, (N, k), descending, and unit tangents, (N, k, ...). Of a boundary that is smooth at the scale they
        lie between its smallest and largest; heights of a kink do not add up as a quadratic form's do. nan rows where
        a height was not found in one of the directions.
    """
    matrix = geometric_matrix(model, points.point, points.own, points.other, points.gradient, tangents, scale=scale)
    curvatures = torch.full(tangents.shape[:2], torch.nan, dtype=tangents.dtype, device=tangents.device)
    directions = torch.full_like(tangents, torch.nan)
    rows = matrix.flatten(1).isfinite().all(1)
    values, vectors = torch.linalg.eigh(matrix[rows])
    curvatures[rows] = values.flip(1)
    directions[rows] = torch.einsum("nki,nk...->ni...", vectors.flip(2), tangents[rows])
    return curvatures, directions
