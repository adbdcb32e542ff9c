"""The bisection of chains of anchors, many pairs at once, and random places to split a segment at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ...core.norms import per_sample, steepest

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
