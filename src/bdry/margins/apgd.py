"""Auto-PGD (Croce and Hein 2020, arXiv 2003.01690) inside a search over radii, batched, in l2 and linf.

Each image has a bracket of radii: APGD failed at `lower` and an adversarial point is known at `upper`. Each round
attacks at the bracket's middle, or at twice the radius while nothing has been found.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..core.measuring import Model
from ..core.norms import dual_norm, per_sample, project_ball, steepest
from .result import ESTIMATORS, MarginResult
from .search import Search

# the weight of the new direction against the last step
MOMENTUM = 0.75
# the step is kept while at least this share of the steps since the last checkpoint lowered the loss
RHO = 0.75


@ESTIMATORS.register("apgd")
def apgd(
    model: Model,
    x: Tensor,
    start_class: Tensor | None = None,
    *,
    norm: str = "l2",
    clipped: bool = False,
    towards: Tensor | None = None,
    search_steps: int = 10,
    steps: int = 20,
    loss: str = "gap",
) -> MarginResult:
    """Margins by APGD at a sequence of radii, then bisection between the image and the nearest adversarial point met.

    Args:
        model: gives logits, (N, K).
        x: (N, C, H, W) in [0, 1].
        start_class: (N,), default the predicted class.
        norm: "l2" or "linf".
        clipped: points are kept in the [0, 1] box.
        towards: (N,), classes to reach.
        search_steps: radii tried; the first is twice the distance to the linearised boundary at the image.
        steps: of APGD at each radius; an image stops at its first adversarial point.
        loss: "gap" (logits), "dlr" (the gap over the logits' range; three classes at least) or "ce".

    Raises:
        ValueError: no such loss, dlr with two classes, or the norm, images or classes are not what the contract says.

    Reference: arXiv 2003.01690, algorithm 1; the paper attacks at one given radius.
    Differs: the search over radii; starts at the known adversarial point, brought into the ball, or at the image, where
        the paper starts at random; the targeted dlr has the untargeted denominator; without `clipped` the box is
        left; bisection and closing steps follow (see `Search.close`). An image with no gradient is a failure.
    """
    search = Search(model, x, start_class, norm=norm, towards=towards, clipped=clipped)
    lower, radius = torch.zeros_like(search.distance), torch.full_like(search.distance, torch.nan)
    rows = search.open_rows()
    leaf, logits, _ = search.evaluate(rows, x[rows])
    value = search.loss(rows, logits, "gap")
    gradient, usable = search.gradient(rows, leaf, value)
    slope = dual_norm(gradient, norm)
    usable &= slope > 0
    # an image exactly on the boundary has linearised distance 0, and still needs a ball to search
    radius[rows] = (2 * torch.maximum(value.detach(), search.noise[rows]) / slope).clamp_min(1e-6)
    rows = rows[usable]
    for _ in range(search_steps):
        _attack(search, rows, radius[rows], steps, loss, clipped)
        upper = search.distance[rows]
        # a point on the sphere is a rounding inside or outside of it
        won = upper <= radius[rows] * (1 + 1e-4)
        lower[rows] = torch.where(won, lower[rows], radius[rows])
        radius[rows] = torch.where(upper.isfinite(), (lower[rows] + upper) / 2, 2 * radius[rows])
    return search.close().result()


def checkpoints(steps: int) -> list[int]:
    """The steps at which APGD looks back: shares 0, 0.22, ... whose distance shrinks by 0.03 down to 0.06."""
    # in hundredths, which floats would not add exactly
    shares = [0, 22]
    while shares[-1] < 100:
        shares.append(shares[-1] + max(shares[-1] - shares[-2] - 3, 6))
    return sorted({math.ceil(share * steps / 100) for share in shares if share <= 100})


def _attack(search: Search, rows: Tensor, radius: Tensor, steps: int, loss: str, clipped: bool) -> None:
    """APGD on images `rows` in balls of `radius`, (R,); what it finds is recorded in `search`."""
    marks = checkpoints(steps)
    known = search.distance[rows].isfinite()
    origin = search.x[rows]
    z = torch.where(per_sample(known, origin), search.best[rows], origin)
    z = _into(z, origin, radius, search.norm, clipped)
    leaf, logits, beyond = search.evaluate(rows, z)
    value = search.loss(rows, logits, loss)
    gradient, usable = search.gradient(rows, leaf, value)
    # one tensor a line: where it is, where it was, the best so far, its gradient and loss, the step, and its record
    state = {
        "rows": rows,
        "radius": radius,
        "z": z,
        "last": z,
        "gradient": gradient,
        "value": value.detach(),
        "best": z,
        "best_gradient": gradient,
        "best_value": value.detach(),
        "length": 2 * radius,
        "drops": torch.zeros_like(rows),
        "old_length": 2 * radius,
        "old_best": value.detach(),
    }
    state = {name: held[usable & ~beyond] for name, held in state.items()}
    for step in range(steps):
        rows, z, length = state["rows"], state["z"], per_sample(state["length"], origin)
        if rows.numel() == 0:
            return
        origin = search.x[rows]
        ahead = _into(
            z - length * steepest(state["gradient"], search.norm), origin, state["radius"], search.norm, clipped
        )
        share = MOMENTUM if step > 0 else 1.0
        moved = z + share * (ahead - z) + (1 - share) * (z - state["last"])
        moved = _into(moved, origin, state["radius"], search.norm, clipped)
        leaf, logits, beyond = search.evaluate(rows, moved, graph=step < steps - 1)
        search.iterations[rows] += 1
        if step == steps - 1:
            return
        new_value = search.loss(rows, logits, loss)
        gradient, usable = search.gradient(rows, leaf, new_value)
        new_value = new_value.detach()
        better = new_value < state["best_value"]
        state["drops"] = state["drops"] + (new_value < state["value"])
        state |= {"last": z, "z": moved, "gradient": gradient, "value": new_value}
        state["best"] = torch.where(per_sample(better, z), moved, state["best"])
        state["best_gradient"] = torch.where(per_sample(better, z), gradient, state["best_gradient"])
        state["best_value"] = torch.where(better, new_value, state["best_value"])
        if step + 1 in marks:
            _look_back(state, step + 1 - marks[marks.index(step + 1) - 1])
        state = {name: held[usable & ~beyond] for name, held in state.items()}


def _look_back(state: dict[str, Tensor], steps: int) -> None:
    """At a checkpoint, `steps` after the last: where progress was poor, halve the step and go back to the best."""
    few = state["drops"] < RHO * steps
    stuck = (state["length"] == state["old_length"]) & (state["best_value"] == state["old_best"])
    poor = few | stuck
    state["old_length"], state["old_best"] = state["length"], state["best_value"]
    state["length"] = torch.where(poor, state["length"] / 2, state["length"])
    back = per_sample(poor, state["z"])
    state["z"] = torch.where(back, state["best"], state["z"])
    state["gradient"] = torch.where(back, state["best_gradient"], state["gradient"])
    state["value"] = torch.where(poor, state["best_value"], state["value"])
    state["drops"] = torch.zeros_like(state["drops"])


def _into(z: Tensor, origin: Tensor, radius: Tensor, norm: str, clipped: bool) -> Tensor:
    """The point z brought into the ball of each row's `radius` around `origin`, then into the box where asked."""
    z = origin + project_ball(z - origin, norm, radius)
    return z.clamp(0, 1) if clipped else z
