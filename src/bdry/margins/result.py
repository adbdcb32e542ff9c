"""The contract of all margin estimators.

    estimator(model, x, start_class=None, *, norm, clipped, towards=None, **settings) -> MarginResult

`model(x) -> logits` is in the state that `core.measuring` makes. `x` is (N, C, H, W) in the [0, 1] box. The margin
of an image is its distance, in `norm`, to the nearest point that the model gives another label than `start_class`,
by default the label that it predicts for the image (right or wrong): in R^d, or inside the box where `clipped`.
With `towards`, a class for each image, it is the distance to the region of that class instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.measuring import Model
from ..core.norms import norm as norm_of
from ..core.norms import per_sample
from ..core.segments import first_crossing, pick
from ..registry import Registry


@dataclass(frozen=True)
class MarginResult:
    """Bounds on the margins of N images, one row each, in pixel units of [0, 1].

    margin: (N,), an upper bound, the distance to `point`; nan where the estimator failed, never 0 in its place.
    lower: (N,), a certified lower bound; nan from estimators that certify nothing.
    overshot: (N,), distance of the end point before bisection; nan where it failed.
    point: (N, ...), just beyond the boundary: its label is `boundary_class`. nan where it failed.
    start_class, boundary_class: (N,) int64; the latter -1 where it failed.
    success: (N,) bool. iterations, forwards, backwards: (N,) int64, what it took and what it cost.
    """

    margin: Tensor
    lower: Tensor
    overshot: Tensor
    point: Tensor
    start_class: Tensor
    boundary_class: Tensor
    success: Tensor
    iterations: Tensor
    forwards: Tensor
    backwards: Tensor


Estimator = Callable[..., MarginResult]

# name -> estimator; the option's settings are its keyword arguments
ESTIMATORS: Registry[Estimator] = Registry("margin")


def bisected(
    model: Model,
    x: Tensor,
    end: Tensor,
    start_class: Tensor,
    reached: Tensor,
    *,
    norm: str,
    towards: Tensor | None,
    start_gap: Tensor,
    end_gap: Tensor,
    iterations: Tensor,
    forwards: Tensor,
    backwards: Tensor,
) -> MarginResult:
    """The result of an estimator whose search ended at `end`: bisection between there and the image, re-evaluated.

    Args:
        end: (N, ...), beyond the boundary where `reached`, (N,) bool; other rows are failures.
        start_gap, end_gap: (N,), the gap (see `core.segments.gap`) at the image and at `end`.
        iterations, forwards, backwards: (N,), spent so far.
    """
    rows = reached.nonzero()[:, 0]
    delta = end[rows] - x[rows]
    t, label, spent = first_crossing(
        model,
        x[rows],
        delta,
        start_class[rows],
        towards=pick(towards, rows),
        gap_at_x=start_gap[rows],
        gap_at_end=end_gap[rows],
    )
    forwards = forwards.index_add(0, rows, spent)
    rows, delta, t, label = rows[label >= 0], delta[label >= 0], t[label >= 0], label[label >= 0]
    margin, lower, overshot = (torch.full_like(start_gap, torch.nan) for _ in range(3))
    point, boundary_class = torch.full_like(x, torch.nan), torch.full_like(start_class, -1)
    overshot[rows] = norm_of(delta, norm)
    margin[rows] = t * overshot[rows]
    point[rows] = x[rows] + per_sample(t, x) * delta
    boundary_class[rows] = label
    return MarginResult(
        margin,
        lower,
        overshot,
        point,
        start_class,
        boundary_class,
        boundary_class >= 0,
        iterations,
        forwards,
        backwards,
    )
