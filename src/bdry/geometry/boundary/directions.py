"""Directions at points: random ones on the unit sphere, random tangents, and the tangential part of given ones."""

from __future__ import annotations

import torch
from torch import Tensor

from ...core.norms import steepest


def random_directions(like: Tensor, count: int, rng: torch.Generator) -> Tensor:
    """`count` directions uniform on the unit sphere for each of `like`, (N, ...) -> (N, count, ...).

    Drawn on the CPU one sample after the other, so that the size of a batch does not matter.

    Args:
        like: (N, ...), whose shape, dtype and device the directions have.
        count: directions for each.
        rng: a generator of the CPU.
    """
    drawn = torch.empty(len(like), count, *like.shape[1:], dtype=torch.float64)
    for row in drawn:
        row.normal_(generator=rng)
    return steepest(drawn.flatten(0, 1), "l2").reshape(drawn.shape).to(like)


def random_tangents(gradient: Tensor, num: int, rng: torch.Generator) -> Tensor:
    """Uniformly random unit tangents at points, (N, num, ...).

    Args:
        gradient: (N, ...), of F at the points.
        num: tangents for each.
        rng: a generator of the CPU.
    """
    drawn = tangent(random_directions(gradient, num, rng), steepest(gradient, "l2"))
    return steepest(drawn.flatten(0, 1), "l2").reshape(drawn.shape)


def tangent(directions: Tensor, normal: Tensor) -> Tensor:
    """The part of the directions, (N, T, ...), that is orthogonal to the unit normals, (N, ...).

    Args:
        directions: (N, T, ...).
        normal: (N, ...), of length 1.
    """
    inner = inner_products(directions, normal)
    return directions - inner.reshape(*inner.shape, *[1] * (normal.ndim - 1)) * normal[:, None]


def inner_products(directions: Tensor, vector: Tensor) -> Tensor:
    """<v_nt, w_n>: directions (N, T, ...) and one vector a point, (N, ...) -> (N, T)."""
    return (directions * vector[:, None]).flatten(2).sum(2)
