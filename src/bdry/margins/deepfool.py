"""DeepFool (Moosavi-Dezfooli, Fawzi, Frossard 2016, arXiv 1511.04599), batched over images.

With p the start class and x_i the current point, every other class k has a linearised boundary f_k - f_p = 0
at distance

    |f_k(x_i) - f_p(x_i)| / ||grad (f_k - f_p)(x_i)||_*        (* the dual norm: l2 for l2, l1 for linf)

The step r_i goes to the nearest of them: for l2 along the gradient w, for linf along its sign. The steps add up
to r, and x + (1 + overshoot) r is the point that is tested and linearised at next.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..core.measuring import Model
from ..core.norms import dual_norm, per_sample, steepest
from ..core.segments import along
from .result import ESTIMATORS, Abilities, MarginResult
from .search import Search

# pixel units: a step of 0, on the boundary itself, would never get across
SHORTEST = 1e-6


@ESTIMATORS.register("deepfool", abilities=Abilities(tolerance=1e-3))
def deepfool(
    model: Model,
    x: Tensor,
    start_class: Tensor | None = None,
    *,
    norm: str = "l2",
    clipped: bool = False,
    towards: Tensor | None = None,
    steps: int = 50,
    overshoot: float = 0.02,
    candidates: int | None = 5,
) -> MarginResult:
    """Margins by DeepFool, then bisection between the image and DeepFool's end point.

    Args:
        model: gives logits, (N, K).
        x: (N, C, H, W) in [0, 1].
        start_class: (N,), default the predicted class.
        norm: "l2" or "linf".
        clipped: test and linearise at points clipped to the [0, 1] box, so that the end point lies in it.
        towards: (N,), classes to reach: each step then goes to the boundary with the largest other class.
        steps: at most; an image that has not crossed by then, or that meets a zero gradient, is a failure.
        overshoot: the sum of steps is lengthened by this share, once; bisection takes it back.
        candidates: this many classes, those with the largest logits, compete for the nearest boundary. The first step
            takes the gradients of all of them; later ones only of the class that is nearest by its logit and its
            last gradient's norm. None: all classes, each with its gradient, in every step, as in the paper.

    Raises:
        ValueError: the norm, the images or the classes are not what the contract says.

    Reference: arXiv 1511.04599, algorithm 2 (l2) and section 3.3 (other norms).
    Differs: bisection follows; classes that can hardly win get no gradients (see `candidates`); a step is at least 1e-6
        long, and long enough to close a gap of the logits' rounding.
    """
    search = Search(model, x, start_class, norm=norm, towards=towards, clipped=clipped, graph=True)
    r = torch.zeros_like(search.x)
    rows = search.open_rows()
    x_i, f = search.at_images(rows)
    rivals = search.rivals(torch.arange(len(x), device=x.device), search.logits, candidates)
    slopes = torch.zeros_like(rivals, dtype=x.dtype)
    for i in range(steps):
        columns = torch.arange(rivals.shape[1], device=x.device).expand(len(rows), -1)
        if i > 0 and candidates is not None:
            distances = search.differences(rows, f.detach(), rivals[rows]).abs() / slopes[rows]
            columns = distances.nan_to_num(torch.inf).argmin(1, keepdim=True)
        _, w, distance, slope = search.nearest_boundary(rows, x_i, f, rivals[rows].gather(1, columns))
        slopes[rows] = slopes[rows].scatter(1, columns, slope)
        usable = distance.isfinite()
        least = (search.noise[rows] / dual_norm(w, norm)).clamp_min(SHORTEST)
        length = torch.maximum(distance, least)[usable]
        rows, w = rows[usable], w[usable]
        r[rows] += per_sample(length, x) * steepest(w, norm)
        search.iterations[rows] += 1
        point = along(search.x[rows], r[rows], torch.full_like(length, 1 + overshoot), clipped)
        x_i, f, beyond = search.evaluate(rows, point)
        rows = rows[~beyond]
        if len(rows) == 0:
            break
        if bool(beyond.any()) and i < steps - 1:
            # one more forward pass for those that go on is cheaper than gradients for those that do not
            x_i, f, _ = search.look(rows, point[~beyond])
    return search.result()
