"""walk: reach the boundary, then walk along it to the point nearest to the image.

Rows are (image, class) pairs, the classes being those whose linearised boundary is nearest at the image. At the current
point z, with F = f_k - f_start and its gradient g, two points of the linearised boundary F + <g, y - z> = 0 are known:
the one nearest to z (Newton's), which stays near a curved boundary, and the one nearest to the *image* (its foot),
which is the answer for a flat boundary. A mixture of both is tried next; its weight on the foot is halved whenever
the point tried is beyond the boundary but not nearer than the best, and grows with every success if the walk is long.

In linf both points move every coordinate by the sign of its gradient, which undoes what earlier gradients have taught.
There the mixture only says how far from the image the next point may be: of the linearised boundary within that
distance it is the point that is nearest to z in l2. Coordinates that stick out are brought in, and the others make up
for them in proportion to their gradients. (In l2, outside the box, that point is the mixture itself.)
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..core.halfspace import UNIT_BOX, project_hyperplane
from ..core.measuring import Model, evaluate
from ..core.norms import dual_norm, per_sample
from ..core.norms import norm as norm_of
from ..core.segments import clearly_beyond, gap, pick
from .result import ESTIMATORS, MarginResult, bisected

# points are aimed at beyond the linearised boundary, by this share of the gap at the image
AIM = 0.02
# a row's weight on the foot at most, and that below which it has nowhere nearer to go
LARGEST_WEIGHT, SMALLEST_WEIGHT = 0.9, 2.0**-9
# from this share of rows on, gradients of all rows cost less than a forward pass of those that need one
SHARE_WORTH_ALL = 0.6


class Schedule(NamedTuple):
    """What `steps` stands for: classes tried an image, the step after which losers are dropped, how many stay.

    weight, growth: of the foot at first, and with every success; short walks have no steps left for the failures that
    more of it costs.
    """

    num_classes: int
    prune_at: int
    kept: int
    weight: float = 0.6
    growth: float = 1.2


def schedule(steps: int) -> Schedule:
    """From quick to tight."""
    if steps <= 10:
        return Schedule(num_classes=1, prune_at=steps, kept=1, weight=0.5, growth=1.0)
    if steps <= 16:
        return Schedule(num_classes=2, prune_at=3, kept=1)
    if steps <= 50:
        return Schedule(num_classes=3, prune_at=steps // 4, kept=1)
    return Schedule(num_classes=4, prune_at=steps // 8, kept=2)


@ESTIMATORS.register("walk")
def walk(
    model: Model,
    x: Tensor,
    start_class: Tensor | None = None,
    *,
    norm: str = "l2",
    clipped: bool = False,
    towards: Tensor | None = None,
    steps: int = 24,
) -> MarginResult:
    """Tight margins: walks along the boundaries with each image's nearest classes, then bisects.

    Args:
        x: (N, C, H, W) in [0, 1]. start_class: (N,), default the predicted class. towards: (N,), classes to reach.
        clipped: stay in the [0, 1] box; projections onto hyperplanes are then onto the box's part of them.
        steps: the dial: points tried by a row at most; how many classes are tried follows from it (see `schedule`).
    """
    plan = schedule(steps)
    z, logits = evaluate(model, x)
    start = logits.detach().argmax(1) if start_class is None else start_class
    start_gap, logits_at_x = gap(logits, start, towards).detach(), logits.detach()
    owner, target, value, gradient = _nearest_classes(z, logits, start, towards, norm, plan.num_classes)
    forwards, backwards, iterations = (torch.zeros_like(start) for _ in range(3))
    forwards += 1
    backwards += 1 if towards is not None else _num_ranked(plan.num_classes, logits)

    aim = AIM * start_gap[owner]
    point = x[owner] + _step(x[owner], x[owner], value - aim, gradient, norm, clipped)
    best = torch.full_like(value, torch.inf)
    best_gap, weight = torch.zeros_like(value), torch.full_like(value, plan.weight)
    best_point, newton, foot, base = (point.clone() for _ in range(4))
    height, slope = value, gradient
    alive = torch.arange(len(owner), device=x.device)
    for step in range(1, steps + 1):
        image = owner[alive]
        z, logits = evaluate(model, point[alive])
        forwards.index_add_(0, image, torch.ones_like(image))
        iterations[image] = step
        own, reach = start[image], pick(towards, image)
        beyond = clearly_beyond(logits, own, reach)
        crossed_pair = _crossed_pair(logits.detach(), own, reach)
        ahead_here, ahead_at_x = (_difference(f, crossed_pair) for f in (logits.detach(), logits_at_x[image]))
        # a point overshoots by about its aim: take that back, by interpolation, but do not reward being far beyond
        inside = (ahead_at_x / (ahead_at_x - ahead_here)).clamp(1 / (1 + 2 * AIM), 1.0)
        length = norm_of(z.detach() - x[image], norm) * torch.where(beyond, inside, 1.0)
        nearer = beyond & (length < best[alive])
        rows = alive[nearer]
        best[rows], best_point[rows], best_gap[rows] = length[nearer], z.detach()[nearer], -ahead_here[nearer]
        weight[alive[beyond & ~nearer]] /= 2
        weight[rows] = (plan.growth * weight[rows]).clamp_max(LARGEST_WEIGHT)
        if step == steps:
            break

        linearise = (nearer | ~beyond) & logits.isfinite().all(1)
        if bool(linearise.any()):
            # beyond, the boundary crossed may be another class's than the row's
            pair = crossed_pair
            if towards is None:
                pair = (torch.where(beyond, crossed_pair[0], target[alive]), own)
            rows, image_of_rows = alive[linearise], image[linearise]
            value, gradient, again = _gap_gradient(model, z, logits, pair, linearise)
            forwards.index_add_(0, image_of_rows, torch.full_like(image_of_rows, int(again)))
            paid = image_of_rows if again else image
            backwards.index_add_(0, paid, torch.ones_like(paid))
            at, value = z.detach()[linearise], value - aim[rows]
            base[rows], height[rows], slope[rows] = at, value, gradient
            newton[rows] = at + _step(at, at, value, gradient, norm, clipped)
            foot[rows] = x[image_of_rows] + _step(x[image_of_rows], at, value, gradient, norm, clipped)
        share = per_sample(torch.where(beyond, weight[alive], 0.0), x)
        point[alive] = (1 - share) * newton[alive] + share * foot[alive]
        if norm == "linf":
            point[alive] = _gently(x[image], base[alive], height[alive], slope[alive], point[alive], clipped)
        going = weight[alive] >= SMALLEST_WEIGHT
        if step == plan.prune_at:
            # rows that have not crossed yet come after all that have: no distance in the box exceeds its dimension
            score = torch.where(best[alive].isfinite(), best[alive], length + x[0].numel())
            going &= _among_first(image, score, plan.kept, len(x))
        alive = alive[going]
        if alive.numel() == 0:
            break

    crossed = best.isfinite()
    winner = (crossed & _among_first(owner, best, 1, len(x))).nonzero()[:, 0]
    end, end_gap, reached = x.clone(), start_gap.clone(), start_gap < 0
    end[owner[winner]], end_gap[owner[winner]], reached[owner[winner]] = best_point[winner], best_gap[winner], True
    return bisected(
        model,
        x,
        end,
        start,
        reached,
        norm=norm,
        towards=towards,
        start_gap=start_gap,
        end_gap=end_gap,
        iterations=iterations,
        forwards=forwards,
        backwards=backwards,
    )


def _num_ranked(num_classes: int, logits: Tensor) -> int:
    """How many classes are ranked by distance at the image: a few more of the largest logits than will be tried."""
    return min(num_classes + 3, logits.shape[1] - 1)


def _nearest_classes(
    z: Tensor, logits: Tensor, start: Tensor, towards: Tensor | None, norm: str, num_classes: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Rows (image, class) of the classes nearest at the image, with gap and gradient there.

    Gives owner (R,), target (R,), f_target - f_reference (R,) and its gradient (R, ...). Images that start beyond the
    boundary, whose logits are not finite or whose gradients vanish have no row.
    """
    values = logits.detach()
    if towards is None:
        reference = start
        others = values.scatter(1, start[:, None], -torch.inf)
        classes = others.topk(_num_ranked(num_classes, values), dim=1).indices
    else:
        reference = values.scatter(1, towards[:, None], -torch.inf).argmax(1)
        classes = towards[:, None]
    with torch.enable_grad():
        differences = logits.gather(1, classes) - logits.gather(1, reference[:, None])
    gradients = torch.stack(
        [
            torch.autograd.grad(column.sum(), z, retain_graph=i < classes.shape[1] - 1)[0]
            for i, column in enumerate(differences.unbind(1))
        ],
        dim=1,
    )
    differences = differences.detach()
    length = dual_norm(gradients.flatten(0, 1), norm).reshape(differences.shape)
    distance = torch.where((length > 0) & differences.isfinite(), differences.abs() / length, torch.inf)
    distance = torch.where((gap(values, start, towards) >= 0)[:, None], distance, torch.inf)
    order = distance.argsort(1)[:, :num_classes]
    owner, rank = distance.gather(1, order).isfinite().nonzero(as_tuple=True)
    column = order[owner, rank]
    return owner, classes[owner, column], differences[owner, column], gradients[owner, column]


def _crossed_pair(logits: Tensor, start: Tensor, towards: Tensor | None) -> tuple[Tensor, Tensor]:
    """The two classes whose boundary counts at each row: the leading other and start, or `towards` and the leader."""
    own = start if towards is None else towards
    leading = logits.scatter(1, own[:, None], -torch.inf).argmax(1)
    return (leading, start) if towards is None else (towards, leading)


def _difference(logits: Tensor, pair: tuple[Tensor, Tensor]) -> Tensor:
    """f_first - f_second, (R,)."""
    first, second = pair
    return logits.gather(1, first[:, None])[:, 0] - logits.gather(1, second[:, None])[:, 0]


def _gap_gradient(
    model: Model, z: Tensor, logits: Tensor, pair: tuple[Tensor, Tensor], rows: Tensor
) -> tuple[Tensor, Tensor, bool]:
    """f_first - f_second of the `rows` (a mask) and its gradient; whether another forward pass was spent on them."""
    again = float(rows.float().mean()) < SHARE_WORTH_ALL
    first, second = pair
    if again:
        z, logits = evaluate(model, z.detach()[rows])
        first, second, rows = first[rows], second[rows], torch.ones_like(first[rows], dtype=torch.bool)
    with torch.enable_grad():
        difference = _difference(logits, (first, second))
    gradient = torch.autograd.grad(difference.sum(), z)[0]
    return difference.detach()[rows], gradient[rows], again


def _step(x: Tensor, z: Tensor, value: Tensor, gradient: Tensor, norm: str, clipped: bool) -> Tensor:
    """From x to the nearest point of the hyperplane value + <gradient, y - z> = 0; (R, ...)."""
    offset = value.double() - (gradient.double() * z.double()).flatten(1).sum(1)
    return project_hyperplane(x, gradient, offset, norm, UNIT_BOX if clipped else None)[0]


def _gently(x: Tensor, z: Tensor, value: Tensor, gradient: Tensor, given: Tensor, clipped: bool) -> Tensor:
    """The hyperplane's point nearest to z in l2 among those no further from x in linf than `given`, one of its points.

    The hyperplane is value + <gradient, y - z> = 0. z is brought within that distance first; (R, ...).
    """
    radius = per_sample(norm_of(given - x, "linf"), x)
    low, high = x - radius, x + radius
    if clipped:
        low, high = low.clamp_min(UNIT_BOX[0]), high.clamp_max(UNIT_BOX[1])
    inside = torch.minimum(torch.maximum(z, low), high)
    offset = value.double() - (gradient.double() * z.double()).flatten(1).sum(1)
    return inside + project_hyperplane(inside, gradient, offset, "l2", (low, high))[0]


def _among_first(owner: Tensor, score: Tensor, kept: int, num_owners: int) -> Tensor:
    """Whether a row is among the `kept` of smallest score of its owner; (R,) bool."""
    order = score.argsort(stable=True)
    order = order[owner[order].argsort(stable=True)]
    counts = owner.bincount(minlength=num_owners)
    first = counts.cumsum(0) - counts
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device) - first[owner[order]]
    return rank < kept
