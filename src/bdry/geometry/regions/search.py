"""The search for paths: all pairs go through the levels of the bisection together, attempt after attempt.

The first attempt bisects the segment between the ends at midpoints. Of the others every first splits it at random
points and, by the finder "tree", every second lets two trees grow (`tree`) and bisects the chain through them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ...core.measuring import Model
from ...core.norms import per_sample, steepest
from ...core.seeds import generator
from .paths import check_segments, holds, keeps_clear, labels_at, num_intervals
from .projection import Projection, project_into
from .tree import grow

# where a segment is split when a pair is tried again, as a share of it
SPLIT_FROM, SPLIT_TO = 0.3, 0.7
# and how far off the segment at most, as a share of its length
LARGEST_OFFSET = 0.5


@dataclass
class Chains:
    """The bisection of many pairs' chains: points met, what follows each, and the segments of the lowest level.

    points: (M, ...).
    following: (M,), the next point of the chain, -1 at its end.
    owner, left, right: (S,), the segments' pairs and both ends.
    first: by pair, its chain's first point.
    """

    points: Tensor
    following: Tensor
    owner: Tensor
    left: Tensor
    right: Tensor
    first: dict[int, int]

    @classmethod
    def of(cls, chains: Mapping[int, Tensor], like: Tensor) -> Chains:
        """Each pair's chain, (k, ...) with k at least 2; `like`: (N, ...), for the case of none."""
        sizes = torch.tensor([len(chain) for chain in chains.values()], dtype=torch.int64, device=like.device)
        pairs = torch.tensor(list(chains), dtype=torch.int64, device=like.device)
        points = torch.cat([like[:0], *chains.values()])
        ends = sizes.cumsum(0)
        following = torch.arange(1, len(points) + 1, device=like.device)
        following[ends - 1] = -1
        left = (following >= 0).nonzero()[:, 0]
        owner = pairs.repeat_interleave(sizes)[left]
        first = dict(zip(chains, (ends - sizes).tolist(), strict=True))
        return cls(points, following, owner, left, left + 1, first)

    def keep(self, rows: Tensor) -> None:
        """Only those segments of the level, (S,) bool; anchors stay."""
        self.owner, self.left, self.right = self.owner[rows], self.left[rows], self.right[rows]

    def split(self, middle: Tensor) -> None:
        """Every segment of the level into two, at `middle`, (S, ...): the next level."""
        new = len(self.points) + torch.arange(len(middle), device=middle.device)
        self.points = torch.cat([self.points, middle])
        self.following = torch.cat([self.following, self.right])
        self.following[self.left] = new
        self.owner = self.owner.repeat_interleave(2)
        left, right = (self.left, new), (new, self.right)
        self.left, self.right = torch.stack(left, 1).flatten(), torch.stack(right, 1).flatten()

    def path(self, pair: int) -> Tensor:
        """The points of the pair's chain, (2 + anchors, ...)."""
        chain, point = [], self.first[pair]
        while point >= 0:
            chain.append(point)
            point = int(self.following[point])
        return self.points[chain]


def random_splits(start: Tensor, end: Tensor, owner: Tensor, rng_of: Callable[[int], torch.Generator]) -> Tensor:
    """A random point of each segment's middle part, moved off the segment at a right angle, (S, ...).

    The share is uniform in (0.3, 0.7), the direction on the sphere of tangents, its length uniform up to half the
    segment's. In one dimension there is no tangent and no offset.

    Args:
        start: (S, ...).
        end: (S, ...).
        owner: (S,), each segment's pair; the draws of a pair are from `rng_of(pair)`.

    Source: ours; that retries are needed is measured in docs/papers/fawzi2017.md.
    """
    shares, offset = torch.zeros(2, len(start)), torch.zeros(start.shape)
    for pair in owner.unique().tolist():
        rows = (owner == pair).nonzero()[:, 0].cpu()
        rng = rng_of(pair)
        shares[:, rows] = torch.rand(2, len(rows), generator=rng)
        offset[rows] = torch.randn(offset[rows].shape, generator=rng)
    shares, offset = shares.to(start), offset.to(start)
    along = end - start
    length = along.flatten(1).norm(dim=1)
    unit = steepest(along, "l2")
    aside = steepest(offset - per_sample((offset * unit).flatten(1).sum(1), unit) * unit, "l2")
    where = SPLIT_FROM + (SPLIT_TO - SPLIT_FROM) * shares[0]
    return start + per_sample(where, start) * along + per_sample(LARGEST_OFFSET * shares[1] * length, start) * aside


# many random attempts find more of what only looks like a path, through a crossing between two samples: theirs are
# looked at with so many times the samples
CONFIRM_FINER = 10
# tree: random splits and growing trees in turn; bisection: random splits alone
FINDERS = ("tree", "bisection")
# steps that trees may take for each segment of the budget: one takes some nine labels, a segment up to a thousand
STEPS_PER_CALL = 2


@dataclass(frozen=True)
class Budget:
    """What the search for one path may spend before it is given up: "not found within budget".

    depth: levels of the bisection.
    calls: segments checked in an attempt; trees may take `STEPS_PER_CALL` steps for each.
    retries: attempts after the first; our choice, the others are remembered of the paper (docs/papers/fawzi2017.md).
    labels: looked up for a pair in all attempts, at each step of a projection too, after which none, no level of one
        and no finer look begins; None: no limit.
    """

    depth: int = 16
    calls: int = 1500
    retries: int = 20
    labels: int | None = None


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
        finder: str,
        seed: int,
        pair_ids: Tensor | None,
        batch_size: int,
    ) -> None:
        self.model, self.x1, self.x2 = model, x1.detach(), x2.detach()
        if x1.shape != x2.shape:
            raise ValueError(f"x1 of shape {tuple(x1.shape)}, x2 {tuple(x2.shape)}: must be the same")
        if pair_ids is not None and pair_ids.shape != x1.shape[:1]:
            raise ValueError(f"pair_ids of shape {tuple(pair_ids.shape)}: must be ({len(x1)},), one for each pair")
        if not step > 0:
            raise ValueError(f"step={step}: must be above 0")
        if finder not in FINDERS:
            raise ValueError(f"finder={finder}: no such finder (choices: {', '.join(FINDERS)})")
        self.step, self.budget, self.how, self.seed, self.batch_size = step, budget, how, seed, batch_size
        self.finder = finder
        n = len(x1)
        self.ids = list(range(n)) if pair_ids is None else pair_ids.tolist()
        labels = labels_at(model, torch.cat([self.x1, self.x2]), batch_size)
        own, other = labels[:n], labels[n:]
        self.label = torch.where(own == other, own, -1)
        # as lengths of paths are summed, so that D(P) is not below 1 by rounding of float32
        self.distance = (self.x2.double() - self.x1.double()).flatten(1).norm(dim=1)
        self.straight, self.found, self.by_tree, self.budget_hit = (
            torch.zeros_like(own, dtype=torch.bool) for _ in range(4)
        )
        self.depth, self.attempts, self.calls, self.projections, self.backwards = (
            torch.zeros_like(own) for _ in range(5)
        )
        self.label_checks, self.forwards = torch.full_like(own, 2), torch.full_like(own, 2)
        self.anchors = [self.x1[:0]] * n

    def attempt(self, number: int, say: Callable[[int, int, float], None]) -> None:
        """One search for each pair that has no path yet; `say` as in `find_paths`."""
        open_pairs = self._open()

        def tell() -> None:
            say(number, int(open_pairs.sum()), self._done(number))

        tell()
        self.budget_hit |= open_pairs & self.spent()
        pairs = (open_pairs & ~self.spent()).nonzero()[:, 0]
        grown = self.finder == "tree" and number > 0 and number % 2 == 0
        self.attempts[pairs] += 1
        self.budget_hit[pairs] = False
        ends = {pair: torch.stack([self.x1[pair], self.x2[pair]]) for pair in pairs.tolist()}
        starts = self._grown(pairs, number) if grown else ends
        chains = Chains.of(starts, self.x1)
        failed = self._bisect(chains, number, tell, at_random=number > 0 and not grown)
        for pair in starts:
            if not bool(failed[pair]):
                anchors = chains.path(pair)
                if number > 0 and bool(self.spent()[pair]):
                    self.budget_hit[pair] = True
                elif number == 0 or self._confirmed(pair, anchors, with_room=grown):
                    self.found[pair], self.by_tree[pair], self.anchors[pair] = True, grown, anchors

    def spent(self) -> Tensor:
        """Whether the labels that a pair may take are used up, (P,) bool."""
        most = self.budget.labels
        return torch.zeros_like(self.found) if most is None else self.forwards >= most

    def _grown(self, pairs: Tensor, number: int) -> dict[int, Tensor]:
        """A chain through the trees of each pair; pairs whose trees did not meet have spent their budget."""
        ids = pairs.tolist()
        found = grow(
            self.model,
            self.x1[pairs],
            self.x2[pairs],
            self.label[pairs],
            lambda row: generator(self.seed, "tree", self.ids[ids[row]], number),
            steps=STEPS_PER_CALL * self.budget.calls,
            clipped=self.how.clipped,
            batch_size=self.batch_size,
        )
        self.label_checks[pairs] += found.labels
        self.forwards[pairs] += found.forwards
        self.backwards[pairs] += found.backwards
        chains = {pair: chain for pair, chain in zip(ids, found.chains, strict=True) if chain is not None}
        self.budget_hit[[pair for pair in ids if pair not in chains]] = True
        return chains

    def _open(self) -> Tensor:
        return (self.label >= 0) & ~self.found

    def _done(self, number: int) -> float:
        """Which share of all attempts, or of all labels where that is more, is behind the pairs in the attempt."""
        done = torch.full_like(self.distance, number / (self.budget.retries + 1))
        if self.budget.labels is not None:
            done = done.maximum((self.forwards / self.budget.labels).clamp(max=1.0))
        return float(done.where(self._open(), 1.0).mean())

    def _bisect(self, chains: Chains, number: int, tell: Callable[[], None], *, at_random: bool) -> Tensor:
        """Checks the segments, splits the wrong ones and so on; the pairs that failed, (P,) bool."""
        failed, spent = torch.zeros_like(self.found), torch.zeros_like(self.calls)
        depth = 0
        while len(chains.owner):
            tell()
            # that the segment itself is wrong is known from the first attempt
            if depth > 0 or not at_random:
                right = self._check(chains)
                spent += chains.owner.bincount(minlength=len(spent))
                if depth == number == 0:
                    self.straight[chains.owner[right]] = True
                chains.keep(~right)
            wanted = spent + 2 * chains.owner.bincount(minlength=len(spent))
            over = (wanted > self.budget.calls) | (depth == self.budget.depth) | self.spent()
            given_up = chains.owner[over[chains.owner]]
            self.budget_hit[given_up], failed[given_up] = True, True
            chains.keep(~failed[chains.owner])
            middle, reached = self._split_points(chains, number, depth, at_random=at_random)
            failed[chains.owner[~reached]] = True
            kept = ~failed[chains.owner]
            chains.keep(kept)
            chains.split(middle[kept])
            depth += 1
            self.depth[chains.owner] = self.depth[chains.owner].clamp_min(depth)
        self.calls += spent
        return failed

    def _confirmed(self, pair: int, anchors: Tensor, *, with_room: bool) -> bool:
        """Whether a path of a later attempt holds at a finer step; through trees, which look for gaps, with room."""
        confirms = keeps_clear if with_room else holds
        spacing = self.step * self.distance[pair]
        right, looked_up = confirms(self.model, anchors, self.label[pair], spacing, CONFIRM_FINER, self.batch_size)
        self.label_checks[pair] += looked_up
        self.forwards[pair] += looked_up
        return right

    def _check(self, chains: Chains) -> Tensor:
        """Whether each segment of the level is certified, (S,) bool."""
        start, end = chains.points[chains.left], chains.points[chains.right]
        intervals = num_intervals(start, end, self.step * self.distance[chains.owner])
        right, looked_up = check_segments(
            self.model, start, end, self.label[chains.owner], intervals, batch_size=self.batch_size
        )
        self.label_checks.index_add_(0, chains.owner, looked_up)
        self.forwards.index_add_(0, chains.owner, looked_up)
        return right

    def _split_points(self, chains: Chains, number: int, depth: int, *, at_random: bool) -> tuple[Tensor, Tensor]:
        """A point of the region for each segment to be split at, (S, ...), and whether there is one, (S,) bool."""
        start, end = chains.points[chains.left], chains.points[chains.right]
        if not at_random:
            middle = torch.lerp(start, end, 0.5)
        else:
            middle = random_splits(
                start, end, chains.owner, lambda pair: generator(self.seed, "paths", self.ids[pair], number, depth)
            )
        middle = middle.clamp(0, 1) if self.how.clipped else middle
        # along a boundary that bulges towards the segment the bulge falls to a quarter from level to level: with one
        # overshoot for all no anchor would ever lie far enough inside for the next segment to pass it
        further = min(2.0**depth, max(1.0, 1 / self.how.overshoot)) if self.how.overshoot > 0 else 1.0
        found = project_into(
            self.model, middle, self.label[chains.owner], self.how, batch_size=self.batch_size, further=further
        )
        ones = torch.ones_like(chains.owner)
        # where the label was right the one forward pass is its look-up
        self.projections.index_add_(0, chains.owner, (found.forwards > 1).to(torch.int64))
        self.label_checks.index_add_(0, chains.owner, ones)
        self.forwards.index_add_(0, chains.owner, found.forwards)
        self.backwards.index_add_(0, chains.owner, found.backwards)
        return found.points, found.reached
