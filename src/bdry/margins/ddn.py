"""DDN, decoupled direction and norm (Rony et al. 2019, arXiv 1811.09600), batched.

A point walks along the loss's gradient, and after each step it is put onto a sphere around the image, whose radius
shrinks by `gamma` where the point is adversarial and grows by `gamma` where not: direction and norm are decoupled.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..core.measuring import Model
from ..core.norms import per_sample, steepest
from .result import ESTIMATORS, Abilities, MarginResult
from .search import Search, cosine


@ESTIMATORS.register("ddn", abilities=Abilities(norms=("l2",)))
def ddn(
    model: Model,
    x: Tensor,
    start_class: Tensor | None = None,
    *,
    norm: str = "l2",
    clipped: bool = False,
    towards: Tensor | None = None,
    steps: int = 100,
    gamma: float = 0.05,
    init_norm: float = 1.0,
    loss: str = "gap",
) -> MarginResult:
    """Margins by DDN, then bisection between the image and the nearest adversarial point that DDN met. l2 only.

    Args:
        model: gives logits, (N, K).
        x: (N, C, H, W) in [0, 1].
        start_class: (N,), default the predicted class.
        norm: "l2".
        clipped: every point is clipped to the [0, 1] box.
        towards: (N,), classes to reach.
        steps: gradient steps; their length falls from 1 to 0.01 (pixel units) along half a cosine.
        gamma: the radius changes by this share each step.
        init_norm: the radius's first value, pixel units.
        loss: "gap" (logits) or "ce", the cross-entropy, as published.

    Raises:
        ValueError: another norm than l2, or images or classes that are not what the contract says.

    Reference: arXiv 1811.09600, algorithm 1.
    Differs: the gap is the default loss, since the cross-entropy's gradient loses the start class where its probability
        rounds to 1, and depends on the scale of the logits; points are not rounded to 256 grey levels; without
        `clipped` the box is left; bisection and closing steps
        follow (see `Search.close`). The paper defines l2 only, and so does this.
    """
    if norm != "l2":
        raise ValueError(f"norm={norm!r}: ddn is defined for l2 only; fmn does linf")
    search = Search(model, x, start_class, norm=norm, towards=towards, clipped=clipped)
    delta = torch.zeros_like(x)
    radius = torch.full_like(search.distance, init_norm)
    rows = search.open_rows()
    for step in range(steps + 1):
        z, logits, beyond = search.evaluate(rows, x[rows] + delta[rows])
        if step == steps:
            break
        gradient, usable = search.gradient(rows, z, search.loss(rows, logits, loss))
        if not bool(usable.all()):
            rows, beyond, gradient = rows[usable], beyond[usable], gradient[usable]
        moved = delta[rows] - cosine(step, steps, 1.0, 0.01) * steepest(gradient, norm)
        radius[rows] *= torch.where(beyond, 1 - gamma, 1 + gamma)
        moved = per_sample(radius[rows], x) * steepest(moved, "l2")
        delta[rows] = (x[rows] + moved).clamp(0, 1) - x[rows] if clipped else moved
        search.iterations[rows] += 1
    return search.close().result()
