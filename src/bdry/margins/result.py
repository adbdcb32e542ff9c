"""The contract of all margin estimators.

    estimator(model, x, start_class=None, *, norm, clipped, **settings) -> MarginResult

`model(x) -> logits` is in the state that `core.measuring` makes. `x` is (N, C, H, W) in the [0, 1] box. The margin
of an image is its distance, in `norm`, to the nearest point that the model gives another label than `start_class`,
by default the label that it predicts for the image (right or wrong): in R^d, or inside the box where `clipped`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from ..registry import Registry


@dataclass(frozen=True)
class MarginResult:
    """Upper bounds on the margins of N images, one row each, in pixel units of [0, 1].

    margin: (N,), distance to `point`; nan where the estimator failed, never 0 in its place.
    overshot: (N,), distance of the end point before bisection; nan where it failed.
    point: (N, ...), just beyond the boundary: its label is `boundary_class`. nan where it failed.
    start_class, boundary_class: (N,) int64; the latter -1 where it failed.
    success: (N,) bool. iterations, forwards, backwards: (N,) int64, what it took and what it cost.
    """

    margin: Tensor
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
