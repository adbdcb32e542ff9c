"""walk: reach the boundary, then walk along it to the point nearest to the image.

Rows are (image, class) pairs, the classes being those whose linearised boundary is nearest at the image. At the current
point z, with F = f_k - f_start and its gradient w, two points of the linearised boundary F + <w, y - z> = 0 are known:
the one nearest to z (Newton's), which stays near a curved boundary, and the one nearest to the *image* (its foot),
which is the answer for a flat boundary. A mixture of both is tried next; its weight on the foot shrinks whenever
the point tried is beyond the boundary but not nearer than the best, and grows with every success. A point that is not
nearer is walked on from all the same: with falling weights the mixtures average many gradients, as a rough boundary
needs. A row rests at a point whose linearised boundary comes no nearer to the image: where the network
is piecewise linear, after a few steps.

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
from ..core.measuring import Model
from ..core.norms import norm as norm_of
from ..core.norms import per_sample, random_in_ball
from ..core.seeds import generator
from ..core.segments import pick
from .result import ESTIMATORS, Abilities, MarginResult
from .search import Search

# points are aimed at beyond the linearised boundary, by this share of the gap at the image
AIM = 0.02
# a row's weight on the foot at most, and that below which it has nowhere nearer to go
LARGEST_WEIGHT, SMALLEST_WEIGHT = 0.95, 2.0**-9
# lengths of points that overshoot are estimates, off by up to this share: a bisected one is not given up for less
LEAD = 2e-3
# classes that are walked to however far they are
ALWAYS = 2
# with how many classes' boundaries a restart begins
RESTART_CLASSES = 2
# random points around an image that no walk has led away from, the nearest and the furthest, pixel units per coordinate
RESCUES, NEAREST_RESCUE, FURTHEST_RESCUE = 32, 0.02, 1.0
# with so few pixels random points fill a ball; how many are looked at in the box where nothing is found
FEW_PIXELS, SCANNED_IN_BOX = 8, 256


class Schedule(NamedTuple):
    """What `steps` stands for: classes tried an image, and after which steps how many rows of an image stay.

    reach: of the classes those whose linearised boundary is no further from the image than this times the nearest's;
    at least two. weight: on the foot at first; growth: what it is multiplied by when a point is nearer, and shrinkage
    when it is not: a short walk has no steps left for the failures that much of it costs. rest: a row rests when the
    linearised boundary at its best point is nearer by less than this share. restarts: walks from random places around
    each image, once its margin is nearly known, and how many with few pixels, where they meet more of the ball.
    promise: only where a linearised boundary is nearer than this share of that margin, which two backward passes tell.
    scanned: how many points a restart looks at first, of images with few pixels.
    """

    num_classes: int
    stay: tuple[tuple[int, int], ...] = ()
    reach: float = 1.5
    weight: float = 0.85
    growth: float = 1.1
    shrinkage: float = 0.7
    rest: float = 1e-3
    restarts: tuple[int, int] = (0, 0)
    promise: float = 0.95
    scanned: int = 8


def schedule(steps: int) -> Schedule:
    """From quick to tight: more classes first, then more places to walk from."""
    if steps <= 16:
        return Schedule(num_classes=2, stay=((3, 1),), weight=0.6, growth=1.0, shrinkage=0.5, rest=2e-3)
    if steps <= 60:
        return Schedule(num_classes=7, reach=2.0, stay=((2, 5), (4, 3), (8, 2), (16, 1)), restarts=(0, 4))
    # where boundaries bend much the linearised ones at the image say little of which class is near
    return Schedule(
        num_classes=9,
        reach=3.0,
        stay=((10, 3), (20, 2)),
        shrinkage=0.8,
        restarts=(2, 10),
        promise=torch.inf,
        scanned=32,
    )


@ESTIMATORS.register("walk", abilities=Abilities(tolerance=1e-3))
def walk(
    model: Model,
    x: Tensor,
    start_class: Tensor | None = None,
    *,
    norm: str = "l2",
    clipped: bool = False,
    towards: Tensor | None = None,
    steps: int = 40,
) -> MarginResult:
    """Tight margins: walks along the boundaries with each image's nearest classes, then bisects.

    A walk of more than 16 steps looks from random places around each image, and walks again from those that promise a
    nearer boundary; a long one (more than 60) walks from all of them. An image that no walk leads to a
    boundary is looked at from random points ever further away.

    Args:
        model: gives logits, (N, K).
        x: (N, C, H, W) in [0, 1].
        start_class: (N,), default the predicted class.
        norm: "l2" or "linf".
        clipped: stay in the [0, 1] box; projections onto hyperplanes are then onto the box's part of them.
        towards: (N,), classes to reach.
        steps: the dial: points tried by a row at most; how many classes are tried follows from it (see `schedule`).

    Raises:
        ValueError: the norm, the images or the classes are not what the contract says.
    """
    plan = schedule(steps)
    search = Search(model, x, start_class, norm=norm, towards=towards, clipped=clipped, graph=True)
    owner, target, value, w = _nearest_classes(search, plan)
    aim = _aim(search, owner)
    origin = search.x[owner]
    point = origin + search.step(origin, origin, value - aim, w)[0]
    _follow(search, owner, target, point, steps, plan)
    _rescue(search, steps, plan)
    search.bisect()
    for restart in range(plan.restarts[search.x.shape[1:].numel() <= FEW_PIXELS]):
        _restart(search, restart, steps // 4, plan)
    return search.result()


def _aim(search: Search, owner: Tensor) -> Tensor:
    """How far beyond the linearised boundary to aim, in logits, (R,): further than rounding."""
    return torch.maximum(AIM * search.start_gap, 2 * search.noise)[owner]


def _follow(search: Search, owner: Tensor, target: Tensor, point: Tensor, steps: int, plan: Schedule) -> None:
    """Walks from each `point`, (R, ...), along the boundary of its image, `owner`, with the class `target`, (R,).

    The nearest point of each row beyond the boundary is remembered in `search`.
    """
    x, aim = search.x, _aim(search, owner)
    best = torch.full_like(point.flatten(1)[:, 0], torch.inf)
    best_gap, weight = torch.zeros_like(best), torch.full_like(best, plan.weight)
    point = point.clone()
    best_point, newton, foot, base, slope = (point.clone() for _ in range(5))
    # flat: how far the boundary would be, were it as flat as where it was linearised last
    height, flat = torch.zeros_like(best), torch.full_like(best, torch.inf)
    stay, dropped = dict(plan.stay), torch.zeros_like(owner, dtype=torch.bool)
    alive = torch.arange(len(owner), device=x.device)
    for step in range(1, steps + 1):
        if alive.numel() == 0:
            break
        image = owner[alive]
        z, logits, ahead = search.look(image, point[alive])
        search.iterations[image] = torch.maximum(search.iterations[image], torch.full_like(image, step))
        beyond = ahead < 0
        pair = _crossed_pair(logits.detach(), search.start[image], pick(search.towards, image))
        here, at_x = _difference(logits.detach(), pair), _difference(search.logits[image], pair)
        # a point overshoots by about its aim: take that back, by interpolation, but do not reward being far beyond
        inside = (at_x / (at_x - here)).nan_to_num(1.0).clamp(1 / (1 + 2 * AIM), 1.0)
        length = norm_of(z.detach() - x[image], search.norm) * torch.where(beyond, inside, 1.0)
        nearer = beyond & (length < best[alive])
        rows = alive[nearer]
        best[rows], best_point[rows], best_gap[rows] = length[nearer], z.detach()[nearer], ahead[nearer]
        weight[alive[beyond & ~nearer]] *= plan.shrinkage
        weight[rows] = (plan.growth * weight[rows]).clamp_max(LARGEST_WEIGHT)
        if step == steps:
            break

        # beyond, the boundary crossed may be another class's than the row's
        if search.towards is None:
            pair = (torch.where(beyond, pair[0], target[alive]), pair[1])
        with torch.enable_grad():
            value = _difference(logits, pair)
        w, usable = search.gradient(image, z, value)
        if bool(usable.any()):
            rows, at, value, w = alive[usable], z.detach()[usable], value.detach()[usable], w[usable]
            value = value - aim[rows]
            origin = x[owner[rows]]
            base[rows], height[rows], slope[rows] = at, value, w
            newton[rows] = at + search.step(at, at, value, w)[0]
            towards_it, reached = search.step(origin, at, value, w)
            foot[rows] = origin + towards_it
            flat[rows] = torch.where(reached, norm_of(towards_it, search.norm) / (1 + AIM), torch.inf)
        share = per_sample(torch.where(beyond, weight[alive], 0.0), x)
        point[alive] = (1 - share) * newton[alive] + share * foot[alive]
        if search.norm == "linf":
            point[alive] = _gently(x[image], base[alive], height[alive], slope[alive], point[alive], search.clipped)
        resting = beyond & flat[alive].isfinite() & (flat[alive] > (1 - plan.rest) * best[alive])
        going = ~resting & (weight[alive] >= SMALLEST_WEIGHT)
        if step in stay:
            # rows that have not crossed yet come after all that have; a row that rests has its place
            score = torch.where(best.isfinite(), best, flat + x[0].numel()).masked_fill(dropped, torch.inf)
            dropped = ~_among_first(owner, score, stay[step], len(x))
            going &= ~dropped[alive]
        alive = alive[going]
    search.remember(owner, best_point, best * (1 + LEAD), best_gap)


def _restart(search: Search, number: int, steps: int, plan: Schedule) -> None:
    """Walks again, from a random point no further from each image than its best, to find another facet.

    With few pixels several points are looked at: where one is beyond the boundary, it is walked from the nearest, else,
    every other time, from that of the smallest gap.
    """
    rows = search.open_rows()
    rows = rows[search.distance[rows].isfinite()]
    if rows.numel() == 0:
        return
    # one draw, scaled to every image: a result does not depend on the batch
    shape = torch.Size((plan.scanned if search.x[0].numel() <= FEW_PIXELS else 1, *search.x.shape[1:]))
    offsets = random_in_ball(shape, search.norm, 1.0, generator(0, "walk", number)).to(search.x)
    before = search.distance[rows]
    points = search.x[rows][:, None] + per_sample(before, search.x)[:, None] * offsets
    points = points.clamp(0, 1) if search.clipped else points
    start, crossed = points[:, 0], torch.zeros_like(rows, dtype=torch.bool)
    if len(offsets) > 1:
        gaps = _scan(search, rows, points)
        if number % 2:
            start = points[torch.arange(len(rows), device=rows.device), gaps.argmin(1)]
        crossed = search.distance[rows] < before
        start = torch.where(per_sample(crossed, start), search.best[rows], start)
    z, logits, _ = search.look(rows, start)
    classes = search.rivals(rows, logits, RESTART_CLASSES)
    value, w, distance, _ = search.nearest_boundary(rows, z, logits, classes, origin=search.x[rows])
    usable = distance.isfinite() & (crossed | (distance < plan.promise * search.distance[rows]))
    rows, z, value, w, classes = rows[usable], z.detach()[usable], value[usable], w[usable], classes[usable]
    point = z + search.step(z, z, value - _aim(search, rows), w)[0]
    _follow(search, rows, classes[:, 0], point, steps, plan._replace(stay=()))


def _rescue(search: Search, steps: int, plan: Schedule) -> None:
    """Random points ever further from images without a boundary so far; from where the label differs it walks."""
    rows = search.open_rows()
    rows = rows[search.distance[rows].isinf()]
    if rows.numel() == 0:
        return
    noise = torch.randn((RESCUES, *search.x.shape[1:]), generator=generator(0, "walk rescue")).to(search.x)
    reach = NEAREST_RESCUE * (FURTHEST_RESCUE / NEAREST_RESCUE) ** torch.linspace(0, 1, RESCUES)
    offsets = per_sample(reach.to(search.x), search.x) * noise
    for offset in offsets:
        point = search.x[rows] + offset
        search.evaluate(rows, point.clamp(0, 1) if search.clipped else point, graph=False)
    if search.x[0].numel() <= FEW_PIXELS:
        still = rows[search.distance[rows].isinf()]
        anywhere = torch.rand((SCANNED_IN_BOX, *search.x.shape[1:]), generator=generator(0, "walk in box")).to(search.x)
        _scan(search, still, anywhere.expand(len(still), *anywhere.shape))
    rows = rows[search.distance[rows].isfinite()]
    if rows.numel():
        point = search.best[rows]
        target = search.rivals(rows, search.logits[rows], 1)[:, 0]
        _follow(search, rows, target, point, steps, plan._replace(stay=()))


def _scan(search: Search, rows: Tensor, points: Tensor) -> Tensor:
    """The gaps, (R, P), at points, (R, P, ...), of the images `rows`; what is beyond and nearer is remembered."""
    owner, flat = rows.repeat_interleave(points.shape[1]), points.flatten(0, 1)
    _, _, gaps = search.look(owner, flat, graph=False)
    distance = norm_of(flat - search.x[owner], search.norm)
    search.remember(owner, flat, torch.where(search.is_beyond(owner, gaps), distance, torch.inf), gaps)
    return gaps.unflatten(0, points.shape[:2])


def _nearest_classes(search: Search, plan: Schedule) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Rows (image, class) of the classes nearest at the image, with gap and gradient there.

    Gives owner (R,), target (R,), f_target - f_reference (R,) and its gradient (R, ...). Images that start beyond the
    boundary, whose logits are not finite or whose gradients vanish have no row.
    """
    rows = search.open_rows()
    z, logits = search.at_images(rows)
    # one more of the largest logits than will be tried is ranked by distance
    classes = search.rivals(rows, logits, plan.num_classes + 1)
    parts = []
    for i in range(classes.shape[1]):
        last = i == classes.shape[1] - 1
        parts.append(search.nearest_boundary(rows, z, logits, classes[:, i : i + 1], retain=not last))
    values, gradients, distances = (torch.stack([part[i] for part in parts], 1) for i in range(3))
    nearest, order = (part[:, : plan.num_classes] for part in distances.sort(dim=1, stable=True))
    near = nearest <= plan.reach * nearest[:, :1]
    near[:, :ALWAYS] = True
    owner, rank = (near & nearest.isfinite()).nonzero(as_tuple=True)
    column = order[owner, rank]
    return rows[owner], classes[owner, column], values[owner, column], gradients[owner, column]


def _crossed_pair(logits: Tensor, start: Tensor, towards: Tensor | None) -> tuple[Tensor, Tensor]:
    """The two classes whose boundary counts at each row: the leading other and start, or `towards` and the leader."""
    own = start if towards is None else towards
    leading = logits.scatter(1, own[:, None], -torch.inf).argmax(1)
    return (leading, start) if towards is None else (towards, leading)


def _difference(logits: Tensor, pair: tuple[Tensor, Tensor]) -> Tensor:
    """f_first - f_second, (R,)."""
    first, second = pair
    return logits.gather(1, first[:, None])[:, 0] - logits.gather(1, second[:, None])[:, 0]


def _gently(x: Tensor, z: Tensor, value: Tensor, w: Tensor, given: Tensor, clipped: bool) -> Tensor:
    """The hyperplane's point nearest to z in l2 among those no further from x in linf than `given`, one of its points.

    The hyperplane is value + <w, y - z> = 0. z is brought within that distance first; (R, ...).
    """
    radius = per_sample(norm_of(given - x, "linf"), x)
    low, high = x - radius, x + radius
    if clipped:
        low, high = low.clamp_min(UNIT_BOX[0]), high.clamp_max(UNIT_BOX[1])
    inside = torch.minimum(torch.maximum(z, low), high)
    excess = value + (w * (inside - z)).flatten(1).sum(1)
    return inside + project_hyperplane(inside, w, excess, "l2", (low, high))[0]


def _among_first(owner: Tensor, score: Tensor, kept: int, num_owners: int) -> Tensor:
    """Whether a row is among the `kept` of smallest score of its owner; (R,) bool."""
    order = score.argsort(stable=True)
    order = order[owner[order].argsort(stable=True)]
    counts = owner.bincount(minlength=num_owners)
    first = counts.cumsum(0) - counts
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device) - first[owner[order]]
    return rank < kept
