"""The bisection of segments into chains of anchors, many pairs at once, and random places to split a segment at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.norms import per_sample, steepest

# where a segment is split when a pair is tried again, as a share of it (docs/papers/fawzi2017.md, Connectivity)
SPLIT_FROM, SPLIT_TO = 0.3, 0.7
# and how far off the segment at most, as a share of its length
LARGEST_OFFSET = 0.5


@dataclass
class Tree:
    """The bisection of P segments: points met, the chain of each pair's anchors, the segments of the lowest level.

    points: (M, ...), first the P starts, then the P ends, then the anchors. following: (M,), the next point of the
    chain, -1 at its end. owner, left, right: (S,), the segments' pairs and both ends.
    """

    points: Tensor
    following: Tensor
    owner: Tensor
    left: Tensor
    right: Tensor

    @classmethod
    def of(cls, start: Tensor, end: Tensor, owner: Tensor) -> Tree:
        """One segment a pair, (P, ...) and (P,)."""
        left = torch.arange(len(start), device=start.device)
        right = left + len(start)
        return cls(torch.cat([start, end]), torch.cat([right, torch.full_like(left, -1)]), owner, left, right)

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

    def chains(self, first: list[int]) -> list[Tensor]:
        """The points of the chains that begin at the starts `first`, (2 + anchors, ...) each."""
        following = self.following.tolist()
        found = []
        for point in first:
            chain = [point]
            while following[chain[-1]] >= 0:
                chain.append(following[chain[-1]])
            found.append(self.points[chain])
        return found


def random_splits(start: Tensor, end: Tensor, owner: Tensor, generator_of: Callable[[int], torch.Generator]) -> Tensor:
    """A random point of each segment's middle part, moved off the segment at a right angle, (S, ...).

    The share is uniform in (0.3, 0.7), the direction on the sphere of tangents, its length uniform up to half the
    segment's. In one dimension there is no tangent and no offset.

    Args:
        start, end: (S, ...). owner: (S,), each segment's pair; the draws of a pair are from `generator_of(pair)`.

    Source: docs/papers/fawzi2017.md, Connectivity (its need); the offset's size is ours.
    """
    shares, offset = torch.zeros(2, len(start)), torch.zeros(start.shape)
    for pair in owner.unique().tolist():
        rows = (owner == pair).nonzero()[:, 0].cpu()
        draw = generator_of(pair)
        shares[:, rows] = torch.rand(2, len(rows), generator=draw)
        offset[rows] = torch.randn(offset[rows].shape, generator=draw)
    shares, offset = shares.to(start), offset.to(start)
    along = end - start
    length = along.flatten(1).norm(dim=1)
    unit = steepest(along, "l2")
    aside = steepest(offset - per_sample((offset * unit).flatten(1).sum(1), unit) * unit, "l2")
    where = SPLIT_FROM + (SPLIT_TO - SPLIT_FROM) * shares[0]
    return start + per_sample(where, start) * along + per_sample(LARGEST_OFFSET * shares[1] * length, start) * aside
