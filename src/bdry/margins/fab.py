"""FAB, the fast adaptive boundary attack (Croce and Hein 2020, arXiv 1907.02044), batched, in l2 and linf.

At the current point z the nearest linearised boundary is a hyperplane. z and the image are both projected onto it, in
the box where asked; the next point mixes the two projections, more of the image's the nearer it is. A point beyond the
boundary is recorded and pulled back towards the image.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..core.measuring import Model
from ..core.norms import norm as norm_of
from ..core.norms import per_sample, random_in_ball
from ..core.seeds import generator
from .result import ESTIMATORS, Abilities, MarginResult
from .search import Search


@ESTIMATORS.register("fab", abilities=Abilities(tolerance=1e-2))
def fab(
    model: Model,
    x: Tensor,
    start_class: Tensor | None = None,
    *,
    norm: str = "l2",
    clipped: bool = False,
    towards: Tensor | None = None,
    steps: int = 100,
    restarts: int = 1,
    alpha_max: float = 0.1,
    eta: float = 1.05,
    beta: float = 0.9,
    seed: int = 0,
) -> MarginResult:
    """Margins by FAB, then bisection between the image and the nearest adversarial point that FAB met.

    Each step takes a gradient of every other class (one gradient with `towards`).

    Args:
        model: gives logits, (N, K).
        x: (N, C, H, W) in [0, 1].
        start_class: (N,), default the predicted class.
        norm: "l2" or "linf".
        clipped: points are kept in the [0, 1] box, and projections are onto the box's part of the hyperplane.
        towards: (N,), classes to reach.
        steps: of each restart.
        restarts: the first starts at the image, later ones at a random point no further from it than half the distance
            found so far (or, with nothing found, than half the linearised one).
        alpha_max: the largest weight of the image's projection.
        eta: steps are this much longer than to the hyperplane.
        beta: a point beyond the boundary is pulled back to this share of its way.
        seed: of the random starts.

    Raises:
        ValueError: the norm, the images or the classes are not what the contract says.

    Reference: arXiv 1907.02044, algorithm 1.
    Differs: bisection to 1e-6 in the place of the paper's final search of three steps; the random starts are one draw,
        scaled to every image, so that a result does not depend on the batch; without `clipped` the box is left;
        with `towards` the boundary is that with the largest other class; hyperplanes lie 16 roundings of the logits
        beyond the boundary.
    """
    search = Search(model, x, start_class, norm=norm, towards=towards, clipped=clipped)
    reach = torch.full_like(search.distance, torch.nan)
    for restart in range(restarts):
        rows = search.open_rows()
        z = x[rows]
        if restart > 0:
            noise = random_in_ball(x[:1].shape, norm, 1.0, generator(seed, "fab", restart)).to(x)
            radius = torch.where(search.distance.isfinite(), search.distance, reach)[rows] / 2
            rows, z, radius = rows[radius.isfinite()], z[radius.isfinite()], radius[radius.isfinite()]
            z = z + per_sample(radius, z) * noise
            z = z.clamp(0, 1) if clipped else z
        for _ in range(steps):
            if rows.numel() == 0:
                break
            leaf, logits, _ = search.evaluate(rows, z)
            value, w, distance, _ = search.nearest_boundary(rows, leaf, logits, search.rivals(rows, logits))
            # beyond the boundary by more than the logits' rounding, as a point that lies on it would never get across
            value = value - 4 * search.noise[rows]
            usable = distance.isfinite()
            if not bool(usable.all()):
                rows, z, w, value, distance = rows[usable], z[usable], w[usable], value[usable], distance[usable]
            reach[rows] = torch.where(reach[rows].isnan(), distance, reach[rows])
            origin = x[rows]
            here, from_image = search.step(z, z, value, w)[0], search.step(origin, z, value, w)[0]
            length, image_length = norm_of(here, norm), norm_of(from_image, norm)
            total = (length + image_length).clamp_min(torch.finfo(x.dtype).tiny)
            alpha = per_sample((length / total).clamp_max(alpha_max), x)
            z = (1 - alpha) * (z + eta * here) + alpha * (origin + eta * from_image)
            z = z.clamp(0, 1) if clipped else z
            _, _, beyond = search.evaluate(rows, z, graph=False)
            z = torch.where(per_sample(beyond, z), (1 - beta) * origin + beta * z, z)
            search.iterations[rows] += 1
    return search.result()
