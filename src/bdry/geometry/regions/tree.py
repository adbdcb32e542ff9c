"""Growing two trees of points inside a region, from both ends of a pair, until they meet: it finds long detours.

Nodes are points with the region's label. A node slides towards a random target: it steps straight on inside the region,
and where the boundary is in the way it is brought back by Newton's steps on the logit gap and goes on along the tangent
plane there. Whatever one tree has reached, the nearest node of the other tree slides towards.

Targets lie in directions that matter: random combinations of the boundary's normals met so far and of the line between
the ends, so that a detour within a few of many dimensions is found as in a few; one of `WALKERS` is in any direction.

Source: Kuffner and LaValle 2000, RRT-Connect. Differs: many branches a round, targets within the span of the normals,
steps whose length adapts, and sliding along the boundary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...core.measuring import Model, evaluate
from ...core.norms import per_sample, steepest
from ...core.segments import gap
from .paths import labels_at

# branches of each tree a round, of which the last goes in a direction uniform on the sphere
WALKERS = 4
# steps of a branch at most
LENGTH = 24
# targets are so far from the ends' middle, as multiples of the ends' distance; log-uniform
NEAREST, FARTHEST = 0.5, 32.0
# the first step of a branch, and the smallest, as shares of the ends' distance
FIRST_STEP, SMALLEST_STEP = 0.125, 1e-4
# a step keeps this share of its length away from the boundary, where there is room
CLEARANCE = 0.1
# and has to bring the branch nearer to its target by this share of its length
PROGRESS = 1e-3
# Newton's steps that bring a point back
CORRECTIONS = 4
# labels looked up on each step, and on each segment that cuts a corner
STEP_LABELS, CORNER_LABELS = 8, 64


@dataclass(frozen=True)
class Grown:
    """What came of P pairs, one row each.

    chains: from x1 to x2, (k, ...) each; None where the trees did not meet. Their segments are looked at coarsely.
    steps: (P,) int64, steps tried.
    labels, forwards, backwards: (P,) int64, points whose label was looked up, passes.
    """

    chains: list[Tensor | None]
    steps: Tensor
    labels: Tensor
    forwards: Tensor
    backwards: Tensor


def grow(
    model: Model,
    x1: Tensor,
    x2: Tensor,
    label: Tensor,
    rng_of: Callable[[int], torch.Generator],
    *,
    steps: int,
    clipped: bool,
    batch_size: int,
) -> Grown:
    """Chains of points of the region that lead from each x1 to its x2, corners cut.

    Args:
        model: x -> logits, (N, ...) -> (N, K).
        x1: (P, ...), pixel units.
        x2: (P, ...), of the same label.
        label: (P,) int64, of both.
        rng_of: the stream of draws of a pair, by its position.
        steps: tried for a pair, at most (a round that has begun is finished).
        clipped: stay in the [0, 1] box.
        batch_size: points in a forward pass.
    """
    trees = _Trees(model, x1, x2, label, rng_of, clipped, batch_size)
    going = list(range(len(x1)))
    while going:
        trees.round(going)
        going = [pair for pair in going if trees.chains[pair] is None and int(trees.steps[pair]) < steps]
    return Grown(trees.chains, trees.steps, trees.labels, trees.forwards, trees.backwards)


class _Rows:
    """Rows of tensors, (n, ...), to which others are added: in memory that doubles when it is full."""

    def __init__(self, first: Tensor) -> None:
        self._held, self.count = first.clone(), len(first)

    @property
    def all(self) -> Tensor:
        """Those there are, (count, ...)."""
        return self._held[: self.count]

    def add(self, rows: Tensor) -> Tensor:
        """Their positions, (len(rows),)."""
        needed = self.count + len(rows)
        if needed > len(self._held):
            longer = self._held.new_empty(2 * needed, *self._held.shape[1:])
            longer[: self.count] = self.all
            self._held = longer
        self._held[self.count : needed] = rows
        self.count = needed
        return torch.arange(needed - len(rows), needed, device=rows.device)


class _Trees:
    """Both trees of all pairs.

    Nodes have their position in `points`, their parent's in `parent` (-1 of a root) and their tree in `tree`: 2 pair
    of the one from x1, 2 pair + 1 of the one from x2. `normal` are unit normals met, of the pairs `normal_of`.
    """

    def __init__(
        self,
        model: Model,
        x1: Tensor,
        x2: Tensor,
        label: Tensor,
        rng_of: Callable[[int], torch.Generator],
        clipped: bool,
        batch_size: int,
    ) -> None:
        self.model, self.label, self.clipped, self.batch_size = model, label, clipped, batch_size
        n, device = len(x1), x1.device
        pairs = torch.arange(n, device=device)
        self.middle, self.distance = (x1 + x2) / 2, (x2 - x1).flatten(1).norm(dim=1)
        self.rngs = [rng_of(pair) for pair in range(n)]
        self.points = _Rows(torch.stack([x1, x2], 1).flatten(0, 1))
        self.parent, self.tree = (
            _Rows(torch.full((2 * n,), -1, device=device)),
            _Rows(torch.arange(2 * n, device=device)),
        )
        self.normal, self.normal_of = _Rows(steepest(x2 - x1, "l2")), _Rows(pairs)
        self.chains: list[Tensor | None] = [None] * n
        self.steps, self.labels, self.forwards, self.backwards = (torch.zeros_like(label) for _ in range(4))

    def round(self, pairs: list[int]) -> None:
        """Branches of both trees of each pair to new targets, then branches of the other tree to where those got."""
        trees = torch.tensor([[2 * pair, 2 * pair + 1] for pair in pairs], device=self.label.device).flatten()
        target = torch.cat([self._targets(pair) for pair in pairs])
        ends, _ = self._slide(trees.repeat_interleave(WALKERS), self._starts(trees, target), target.flatten(0, 1))
        others = (trees ^ 1).repeat_interleave(WALKERS)
        there = self.points.all[ends]
        starts = self._nearest(trees ^ 1, there.unflatten(0, (-1, WALKERS))).flatten()
        met, arrived = self._slide(others, starts, there)
        for row in arrived.nonzero()[:, 0].tolist():
            pair, side = divmod(int(others[row]), 2)
            if self.chains[pair] is None:
                first, second = (met[row], ends[row]) if side == 0 else (ends[row], met[row])
                way = [*reversed(self._to_root(int(first))), *self._to_root(int(second))[1:]]
                self.chains[pair] = self._shortened(self.points.all[way], pair)

    def _targets(self, pair: int) -> Tensor:
        """New targets of both trees, (2, WALKERS, ...)."""
        rng, normals = self.rngs[pair], self.normal.all[self.normal_of.all == pair]
        shape = self.middle.shape[1:]
        weights = torch.randn(2, WALKERS - 1, len(normals), generator=rng).to(normals)
        chosen = (weights @ normals.flatten(1)).unflatten(2, shape)
        anywhere = torch.randn(2, 1, *shape, generator=rng).to(normals)
        direction = steepest(torch.cat([chosen, anywhere], 1).flatten(0, 1), "l2")
        share = torch.rand(2 * WALKERS, generator=rng).to(normals)
        radius = self.distance[pair] * NEAREST * (FARTHEST / NEAREST) ** share
        target = self.middle[pair] + per_sample(radius, direction) * direction
        return (target.clamp(0, 1) if self.clipped else target).unflatten(0, (2, WALKERS))

    def _starts(self, trees: Tensor, target: Tensor) -> Tensor:
        """Where branches begin, (n,): at the nearest node, every other one at any node of its tree."""
        starts = self._nearest(trees, target)
        for row, tree in enumerate(trees.tolist()):
            nodes = (self.tree.all == tree).nonzero()[:, 0]
            chosen = torch.randint(len(nodes), (WALKERS // 2,), generator=self.rngs[tree // 2])
            starts[row, 1::2] = nodes[chosen.to(nodes.device)]
        return starts.flatten()

    def _nearest(self, trees: Tensor, target: Tensor) -> Tensor:
        """Of each tree, (m,), the nodes nearest to its targets, (m, WALKERS, ...) -> (m, WALKERS)."""
        found = []
        for tree, aims in zip(trees.tolist(), target, strict=True):
            nodes = (self.tree.all == tree).nonzero()[:, 0]
            found.append(nodes[torch.cdist(aims.flatten(1), self.points.all[nodes].flatten(1)).argmin(1)])
        return torch.stack(found)

    def _slide(self, trees: Tensor, starts: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Branches from the nodes `starts` towards their targets, (n, ...): the last node of each, and who is there."""
        pair, last = trees // 2, starts.clone()
        x = self.points.all[starts]
        first = FIRST_STEP * self.distance[pair]
        step, normal = first.clone(), torch.zeros_like(x)
        arrived = torch.zeros_like(pair, dtype=torch.bool)
        alive = torch.arange(len(starts), device=x.device)
        for _ in range(LENGTH):
            if alive.numel() == 0:
                break
            to, size = target[alive] - x[alive], step[alive]
            left, heading = to.flatten(1).norm(dim=1), steepest(to, "l2")
            # at the boundary only along it, or away from it
            against = (heading * normal[alive]).flatten(1).sum(1).clamp_max(0)
            along = steepest(heading - per_sample(against, x) * normal[alive], "l2")
            reaches = (left <= size) & (against == 0)
            proposed = torch.where(per_sample(reaches, x), target[alive], x[alive] + per_sample(size, x) * along)
            there, inside, slope = self._brought_inside(proposed, pair[alive], CLEARANCE * size)
            moved = (slope != 0).flatten(1).any(1)
            nearer = (target[alive] - there).flatten(1).norm(dim=1) < left - PROGRESS * size
            fine = inside & (nearer | (reaches & ~moved))
            fine[fine.clone()] = self._clear(x[alive][fine], there[fine], pair[alive][fine], STEP_LABELS)
            self.steps.index_add_(0, pair[alive], torch.ones_like(alive))
            rows = alive[fine]
            x[rows], normal[rows] = there[fine], slope[fine]
            step[rows] *= torch.where(moved[fine], 1.2, 2.0).to(step)
            step[alive[~fine]] /= 3
            self.parent.add(last[rows])
            self.tree.add(trees[rows])
            last[rows] = self.points.add(there[fine])
            done = fine & reaches & ~moved
            arrived[alive[done]] = True
            alive = alive[~done & (step[alive] > SMALLEST_STEP / FIRST_STEP * first[alive])]
        return last, arrived

    def _brought_inside(self, y: Tensor, pair: Tensor, clearance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Points, (n, ...), at least about `clearance`, (n,), inside; who is; unit normals where they were moved."""
        y, normal = y.clone(), torch.zeros_like(y)
        inside = torch.zeros_like(pair, dtype=torch.bool)
        rows = torch.arange(len(y), device=y.device)
        for correction in range(CORRECTIONS + 1):
            value, gradient, inside[rows] = self._gap(y[rows], pair[rows])
            length = gradient.flatten(1).norm(dim=1)
            lacking = clearance[rows] - value / length
            near = (lacking > clearance[rows] / 2) & (length > 0) & lacking.isfinite()
            if correction == CORRECTIONS or not bool(near.any()):
                break
            rows, unit = rows[near], steepest(gradient[near], "l2")
            moved = y[rows] + per_sample(torch.minimum(lacking[near], 20 * clearance[rows]), y) * unit
            y[rows] = moved.clamp(0, 1) if self.clipped else moved
            normal[rows] = unit
        touched = (normal != 0).flatten(1).any(1) & inside
        self.normal.add(normal[touched])
        self.normal_of.add(pair[touched])
        return y, inside, normal

    def _gap(self, y: Tensor, pair: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The logit gap of the pairs' class to the best other, its gradient, and who has the label."""
        parts = []
        for some, label in zip(y.split(self.batch_size), self.label[pair].split(self.batch_size), strict=True):
            z, logits = evaluate(self.model, some)
            with torch.enable_grad():
                value = gap(logits, label)
                (gradient,) = torch.autograd.grad(value.sum(), z, allow_unused=True, materialize_grads=True)
            parts.append((value.detach(), gradient, logits.argmax(1) == label))
        once = torch.ones_like(pair)
        for count in (self.labels, self.forwards, self.backwards):
            count.index_add_(0, pair, once)
        value, gradient, right = (torch.cat(column) for column in zip(*parts, strict=True))
        return value, gradient, right & value.isfinite()

    def _clear(self, start: Tensor, end: Tensor, pair: Tensor, count: int) -> Tensor:
        """Whether `count` points inside each segment have the label, (S,) bool."""
        share = torch.arange(1, count + 1, device=start.device).to(start) / (count + 1)
        between = torch.lerp(start[:, None], end[:, None], share.reshape(1, -1, *[1] * (start.ndim - 1)))
        labels = labels_at(self.model, between.flatten(0, 1), self.batch_size).unflatten(0, (-1, count))
        looked_up = torch.full_like(pair, count)
        self.labels.index_add_(0, pair, looked_up)
        self.forwards.index_add_(0, pair, looked_up)
        return (labels == self.label[pair][:, None]).all(1)

    def _to_root(self, node: int) -> list[int]:
        found = []
        while node >= 0:
            found.append(node)
            node = int(self.parent.all[node])
        return found

    def _shortened(self, chain: Tensor, pair: int) -> Tensor:
        """The chain without the points between two that see each other, as far as the labels looked up tell."""
        kept, at = [0], 0
        while at < len(chain) - 1:
            ahead = torch.arange(at + 2, len(chain), device=chain.device)
            owner = torch.full_like(ahead, pair)
            seen = ahead[
                self._clear(chain[at].expand(len(ahead), *chain.shape[1:]), chain[ahead], owner, CORNER_LABELS)
            ]
            at = int(seen.max()) if len(seen) else at + 1
            kept.append(at)
        return chain[kept]
