"""The search for paths: all pairs go through the levels of the bisection together, attempt after attempt."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.measuring import Model
from ..core.seeds import generator
from .bisection import Tree, random_splits
from .paths import check_segments, holds, labels_at, num_intervals
from .regions import Projection, project_into

# many random attempts find more of what only looks like a path, through a crossing between two samples: theirs are
# looked at with so many times the samples
CONFIRM_FINER = 10


@dataclass(frozen=True)
class Budget:
    """What the search for one path may spend before it is given up: "not found within budget".

    depth: of the bisection. calls: segments checked in an attempt. retries: attempts with random split points after the
    first. Defaults: ours (docs/papers/fawzi2017.md, Connectivity).
    """

    depth: int = 16
    calls: int = 1500
    retries: int = 20


class Search:
    """The state of all pairs over the attempts."""

    def __init__(
        self,
        model: Model,
        x1: Tensor,
        x2: Tensor,
        step: float,
        budget: Budget,
        how: Projection,
        seed: int,
        pair_ids: Tensor | None,
        batch_size: int,
    ) -> None:
        self.model, self.x1, self.x2 = model, x1.detach(), x2.detach()
        self.step, self.budget, self.how, self.seed, self.batch_size = step, budget, how, seed, batch_size
        n = len(x1)
        self.ids = list(range(n)) if pair_ids is None else pair_ids.tolist()
        labels = labels_at(model, torch.cat([self.x1, self.x2]), batch_size)
        own, other = labels[:n], labels[n:]
        self.label = torch.where(own == other, own, -1)
        # as lengths of paths are summed, so that D(P) is not below 1 by rounding of float32
        self.distance = (self.x2.double() - self.x1.double()).flatten(1).norm(dim=1)
        self.straight, self.found, self.budget_hit = (torch.zeros_like(own, dtype=torch.bool) for _ in range(3))
        self.depth, self.attempts, self.calls, self.projections, self.backwards = (
            torch.zeros_like(own) for _ in range(5)
        )
        self.label_checks, self.forwards = torch.full_like(own, 2), torch.full_like(own, 2)
        self.anchors = [self.x1[:0]] * n

    def attempt(self, number: int) -> None:
        """One search for each pair that has no path yet; from number 1 on with random split points."""
        pairs = ((self.label >= 0) & ~self.found).nonzero()[:, 0]
        tree = Tree.of(self.x1[pairs], self.x2[pairs], pairs)
        self.attempts[pairs] += 1
        self.budget_hit[pairs] = False
        failed = torch.zeros_like(self.found)
        spent = torch.zeros_like(self.calls)
        depth = 0
        while len(tree.owner):
            # that the segment itself is wrong is known from the first attempt
            if number == 0 or depth > 0:
                right = self._check(tree)
                spent += tree.owner.bincount(minlength=len(spent))
                if depth == 0:
                    self.straight[tree.owner[right]] = True
                tree.keep(~right)
            wanted = spent + 2 * tree.owner.bincount(minlength=len(spent))
            over = (wanted > self.budget.calls) | (depth == self.budget.depth)
            given_up = tree.owner[over[tree.owner]]
            self.budget_hit[given_up], failed[given_up] = True, True
            tree.keep(~failed[tree.owner])
            middle, reached = self._split_points(tree, number, depth)
            failed[tree.owner[~reached]] = True
            kept = ~failed[tree.owner]
            tree.keep(kept)
            tree.split(middle[kept])
            depth += 1
            self.depth[tree.owner] = self.depth[tree.owner].clamp_min(depth)
        self.calls += spent
        done = (~failed[pairs]).nonzero()[:, 0]
        for pair, anchors in zip(pairs[done].tolist(), tree.chains(done.tolist()), strict=True):
            if number == 0 or self._confirmed(pair, anchors):
                self.found[pair], self.anchors[pair] = True, anchors

    def _confirmed(self, pair: int, anchors: Tensor) -> bool:
        """Whether a path of a later attempt holds at a finer step."""
        spacing = self.step * self.distance[pair]
        right, looked_up = holds(self.model, anchors, self.label[pair], spacing, CONFIRM_FINER, self.batch_size)
        self.label_checks[pair] += looked_up
        self.forwards[pair] += looked_up
        return right

    def _check(self, tree: Tree) -> Tensor:
        """Whether each segment of the level is certified, (S,) bool."""
        start, end = tree.points[tree.left], tree.points[tree.right]
        intervals = num_intervals(start, end, self.step * self.distance[tree.owner])
        right, looked_up = check_segments(
            self.model, start, end, self.label[tree.owner], intervals, batch_size=self.batch_size
        )
        self.label_checks.index_add_(0, tree.owner, looked_up)
        self.forwards.index_add_(0, tree.owner, looked_up)
        return right

    def _split_points(self, tree: Tree, number: int, depth: int) -> tuple[Tensor, Tensor]:
        """A point of the region for each segment to be split at, (S, ...), and whether there is one, (S,) bool."""
        start, end = tree.points[tree.left], tree.points[tree.right]
        if number == 0:
            middle = torch.lerp(start, end, 0.5)
        else:
            middle = random_splits(start, end, tree.owner, lambda pair: self._generator(pair, number, depth))
        middle = middle.clamp(0, 1) if self.how.clipped else middle
        # along a boundary that bulges towards the segment the bulge falls to a quarter from level to level: with one
        # overshoot for all no anchor would ever lie far enough inside for the next segment to pass it
        further = min(2.0**depth, max(1.0, 1 / self.how.overshoot)) if self.how.overshoot > 0 else 1.0
        found = project_into(
            self.model, middle, self.label[tree.owner], self.how, batch_size=self.batch_size, further=further
        )
        ones = torch.ones_like(tree.owner)
        # where the label was right the one forward pass is its look-up
        self.projections.index_add_(0, tree.owner, (found.forwards > 1).to(torch.int64))
        self.label_checks.index_add_(0, tree.owner, ones)
        self.forwards.index_add_(0, tree.owner, found.forwards)
        self.backwards.index_add_(0, tree.owner, found.backwards)
        return found.points, found.reached

    def _generator(self, pair: int, number: int, depth: int) -> torch.Generator:
        return generator(self.seed, "paths", self.ids[pair], number, depth)
