"""The region of a class: bringing points into it by the smallest perturbation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ...core.measuring import Model
from ...margins import deepfool, unguarded
from .paths import labels_at


@dataclass(frozen=True)
class Projection:
    """How points are brought into a region (defaults are guesses: docs/papers/fawzi2017.md).

    steps: of DeepFool, at most.
    overshoot: by which share the perturbation goes beyond the boundary.
    clipped: stay in the [0, 1] box; the paper's paths, as recalled, are in R^d.
    """

    steps: int = 60
    overshoot: float = 0.02
    clipped: bool = False


class Projected(NamedTuple):
    """Points brought into a region, one row each.

    points: (N, ...), in the region where `reached`, (N,) bool; elsewhere as they came.
    forwards, backwards: (N,) int64, passes spent.
    """

    points: Tensor
    reached: Tensor
    forwards: Tensor
    backwards: Tensor


def project_into(
    model: Model, x: Tensor, label: Tensor, how: Projection, *, batch_size: int, further: float = 1.0
) -> Projected:
    """Each x with the (nearly) smallest l2 perturbation that brings its label to `label`; (N, ...) and (N,).

    DeepFool towards the class, against its strongest competitor at each step, then bisection, then a perturbation
    longer by `further` times the overshoot. Where that is outside again (a thin region) the point ends just beyond the
    boundary. One that has its label already stays where it is.

    Args:
        model: points (N, ...) to logits (N, K).
        x: (N, ...).
        label: (N,) int64, the class of the region.
        how: steps and overshoot.
        batch_size: points in a forward pass.
        further: the overshoot is this many times as long.

    Source: arXiv 1705.09552, section 2, as recalled (docs/papers/fawzi2017.md).
    """
    points = x.clone()
    forwards, backwards = torch.ones_like(label), torch.zeros_like(label)
    reached = labels_at(model, x, batch_size) == label
    outside = (~reached).nonzero()[:, 0]
    for rows in outside.split(batch_size) if len(outside) else ():
        target = label[rows]
        found = unguarded(deepfool)(
            model, x[rows], towards=target, clipped=how.clipped, steps=how.steps, overshoot=how.overshoot
        )
        longer = x[rows] + (1 + further * how.overshoot) * (found.point - x[rows])
        longer = longer.clamp(0, 1) if how.clipped else longer
        inside = found.success & (labels_at(model, longer, batch_size) == target)
        points[rows[found.success]] = found.point[found.success]
        points[rows[inside]] = longer[inside]
        reached[rows] = found.success
        forwards[rows] += found.forwards + 1
        backwards[rows] += found.backwards
    return Projected(points, reached, forwards, backwards)
