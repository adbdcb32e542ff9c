"""The margin between two bounds: an estimator's point from above, a certified ball from below."""

from __future__ import annotations

import dataclasses

from torch import Tensor

from ..core.measuring import Model
from .certified import certified
from .result import ESTIMATORS, Abilities, MarginResult


@ESTIMATORS.register("bracket", abilities=Abilities(model="piecewise linear", certifies=True, tolerance=1e-3))
def bracket(
    model: Model,
    x: Tensor,
    start_class: Tensor | None = None,
    *,
    norm: str = "l2",
    clipped: bool = False,
    towards: Tensor | None = None,
    upper: str = "deepfool",
    method: str = "crown_ibp",
    search_steps: int = 11,
    slope_steps: int = 20,
) -> MarginResult:
    """The result of the estimator `upper` with its default settings, and `lower` from `certified`.

    `lower` <= `margin` wherever both exist. Passes are those of both; iterations are those of `upper`.

    Args:
        model: a network of which `certified` has bounds.
        x: (N, C, H, W) in [0, 1].
        start_class: (N,), as in the contract.
        norm: l2 or linf.
        clipped: keep to the [0, 1] box.
        towards: (N,), as in the contract.
        upper: the estimator that finds points.
        method: of `certified`.
        search_steps: of `certified`.
        slope_steps: of `certified`.

    Raises:
        ValueError: `upper` finds no points, or `certified` has no bounds for the model.
    """
    if upper in ("certified", "bracket"):
        raise ValueError(f"upper={upper!r}: it has to find points, as deepfool does")
    estimator = ESTIMATORS[upper]
    # first the one that may refuse the model
    below = certified(
        model,
        x,
        start_class,
        norm=norm,
        clipped=clipped,
        towards=towards,
        method=method,
        search_steps=search_steps,
        slope_steps=slope_steps,
    )
    above = estimator(model, x, below.start_class, norm=norm, clipped=clipped, towards=towards)
    return dataclasses.replace(
        above,
        lower=below.lower,
        forwards=above.forwards + below.forwards,
        backwards=above.backwards + below.backwards,
    )
