"""FMN, fast minimum-norm attacks (Pintor et al. 2021, arXiv 2102.12827), batched, in l2 and linf.

A point descends the gap inside a ball around the image. The ball's radius is the distance to the linearised boundary
until the point first crosses; then it shrinks wherever the point is beyond the boundary and grows where it is not.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..core.measuring import Model
from ..core.norms import dual_norm, project_ball, steepest
from ..core.norms import norm as norm_of
from .result import ESTIMATORS, MarginResult
from .search import Search, cosine


@ESTIMATORS.register("fmn")
def fmn(
    model: Model,
    x: Tensor,
    start_class: Tensor | None = None,
    *,
    norm: str = "l2",
    clipped: bool = False,
    towards: Tensor | None = None,
    steps: int = 100,
    alpha_init: float = 1.0,
    gamma_init: float = 0.05,
    gamma_final: float = 0.001,
) -> MarginResult:
    """Margins by FMN, then bisection between the image and the nearest adversarial point that FMN met.

    Args:
        model: gives logits, (N, K).
        x: (N, C, H, W) in [0, 1].
        start_class: (N,), default the predicted class.
        norm: "l2" or "linf".
        clipped: every point is clipped to the [0, 1] box.
        towards: (N,), classes to reach.
        steps: gradient steps.
        alpha_init: l2 length of the first step (pixel units, in both norms); falls to a hundredth along half a cosine.
        gamma_init: the share by which the radius changes at first.
        gamma_final: that share at last; it falls along half a cosine.

    Raises:
        ValueError: the norm, the images or the classes are not what the contract says.

    Reference: arXiv 2102.12827, algorithm 1.
    Differs: until the first crossing the radius is the paper's estimate times 1 + gamma, since the estimate itself ends
        on the boundary and not beyond; in the box, coordinates that it holds back take no part in the gradient, which
        would make the estimate too small; starts at the image only; without `clipped` the box is left; bisection
        and closing steps follow (see `Search.close`); the estimate is at least the logits'
        rounding. A vanishing gradient gives no estimate of the radius, which then stays infinite.
    """
    search = Search(model, x, start_class, norm=norm, towards=towards, clipped=clipped)
    delta = torch.zeros_like(x)
    radius = torch.full_like(search.distance, torch.inf)
    rows = search.open_rows()
    for step in range(steps + 1):
        z, logits, beyond = search.evaluate(rows, x[rows] + delta[rows])
        if step == steps:
            break
        value = search.loss(rows, logits, "gap")
        gradient, usable = search.gradient(rows, z, value)
        z, value = z.detach(), value.detach()
        if not bool(usable.all()):
            rows, beyond, z = rows[usable], beyond[usable], z[usable]
            gradient, value = gradient[usable], value[usable]
        if clipped:
            gradient = _free(gradient, z)
        gamma = cosine(step, steps, gamma_init, gamma_final)
        slope = dual_norm(gradient, norm)
        to_linearised = torch.where(slope > 0, torch.maximum(value, search.noise[rows]) / slope, torch.inf)
        # aimed at exactly, a piecewise linear boundary is approached from inside for ever
        grown = torch.where(
            search.distance[rows].isfinite(),
            radius[rows] * (1 + gamma),
            (1 + gamma) * (norm_of(delta[rows], norm) + to_linearised),
        )
        shrunk = torch.minimum(radius[rows] * (1 - gamma), search.distance[rows])
        radius[rows] = torch.where(beyond, shrunk, grown)
        # the paper's step has a length in l2 whatever the norm of the ball
        moved = delta[rows] - cosine(step, steps, alpha_init, alpha_init / 100) * steepest(gradient, "l2")
        moved = project_ball(moved, norm, radius[rows])
        delta[rows] = (x[rows] + moved).clamp(0, 1) - x[rows] if clipped else moved
        search.iterations[rows] += 1
    return search.close().result()


def _free(gradient: Tensor, z: Tensor) -> Tensor:
    """The gradient without the coordinates that a step down it would push out of the box; (R, ...)."""
    held = ((z <= 0) & (gradient > 0)) | ((z >= 1) & (gradient < 0))
    return gradient.masked_fill(held, 0.0)
