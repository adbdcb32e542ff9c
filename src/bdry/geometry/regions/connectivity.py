"""Paths inside a classification region (arXiv 1705.09552, section 2): a certificate where found, no proof where not.

A segment that has a wrong label among its samples is split: its midpoint, brought back into the region by a minimal
perturbation where it is outside, becomes an anchor, and both halves are checked in turn. A midpoint may lie in another
component of the region and can then never be joined, and a long way round is never found so: a pair whose search
fails is tried again with random split points, and by trees that grow from both ends.
All pairs go through the levels of the bisection together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...core.measuring import Model
from .paths import holds, path_length
from .projection import Projection
from .search import Budget, Search


@dataclass(frozen=True)
class PathResult:
    """The paths of P pairs, one row each, in pixel units of [0, 1]; lengths in l2.

    anchors: P tensors (2 + num_anchors, ...): x1, the anchors, x2; (0, ...) where no path was found.
    label: (P,) int64, of both ends; -1 where they differ or are not finite: no path is looked for.
    distance: (P,) float64, between the ends.
    step: the largest spacing of samples, relative to it.
    straight: (P,) bool, the segment itself is certified.
    found: (P,) bool, a path is: every sample has the label.
    by_tree: (P,) bool, the path is through trees grown from both ends.
    num_anchors: (P,) int64, between the ends; -1 where not found.
    depth: (P,) int64, of the deepest bisection.
    relative_length: (P,) float64, D(P), the path's length / distance; 1 where the ends coincide, nan where not found.
    attempts: (P,) int64, searches begun.
    calls: (P,) int64, segments checked in all of them.
    budget_hit: (P,) bool, not found, and the last attempt ended for its depth, calls or labels; else a split point
        could not be brought back, or what was found did not hold at the finer step that random attempts are held to.
    label_checks: (P,) int64, points whose label was looked up: ends, samples and split points.
    projections: (P,) int64, split points outside the region.
    forwards, backwards: (P,) int64, passes, all included.
    """

    anchors: tuple[Tensor, ...]
    label: Tensor
    distance: Tensor
    step: float
    straight: Tensor
    found: Tensor
    by_tree: Tensor
    num_anchors: Tensor
    depth: Tensor
    relative_length: Tensor
    attempts: Tensor
    calls: Tensor
    budget_hit: Tensor
    label_checks: Tensor
    projections: Tensor
    forwards: Tensor
    backwards: Tensor


def find_paths(
    model: Model,
    x1: Tensor,
    x2: Tensor,
    *,
    step: float = 1e-4,
    budget: Budget | None = None,
    how: Projection | None = None,
    finder: str = "tree",
    seed: int = 0,
    pair_ids: Tensor | None = None,
    batch_size: int = 512,
    say: Callable[[int, int, float], None] = lambda attempt, left, done: None,
) -> PathResult:
    """A path inside the region of their common label for each pair of points.

    Args:
        model: points (N, ...) to logits (N, K).
        x1: (P, ...).
        x2: (P, ...).
        step: spacing of the samples of every segment, relative to ||x1 - x2||; short segments have
            `paths.MIN_INTERVALS` samples all the same.
        budget: what the search may spend; by default `Budget()`.
        how: by which split points are brought into the region; by default `Projection()`.
        finder: "tree": after the first attempt random splits, and trees grown from both ends, in turn; "bisection":
            random splits alone.
        seed: random splits and trees are a function of it and of the pair's id.
        pair_ids: (P,), by default 0 ... P - 1; pass them where pairs come in parts, so that a pair's path does not
            depend on the others.
        batch_size: points in a forward pass.
        say: is told, before each level of each attempt, the attempt's number from 0, for how many pairs it is, and
            which share of all that the pairs may spend is behind them.

    Source: arXiv 1705.09552, section 2, as recalled (docs/papers/fawzi2017.md); retries and trees are ours.
    Differs: the overshoot doubles from level to level of the bisection up to the whole perturbation; paths of random
        attempts are held to a finer step (`search.CONFIRM_FINER`), through trees
        with room between the samples (`paths.keeps_clear`).

    Raises:
        ValueError: x1 and x2, or pair_ids, are not of one shape; the step is not positive; there is no such finder.
    """
    search = Search(model, x1, x2, step, budget or Budget(), how or Projection(), finder, seed, pair_ids, batch_size)
    for attempt in range(search.budget.retries + 1):
        search.attempt(attempt, say)
    length = torch.tensor([path_length(path) for path in search.anchors], dtype=torch.float64).to(search.distance)
    relative = torch.where(search.distance > 0, length / search.distance, 1.0)
    count = torch.tensor([len(path) for path in search.anchors], dtype=torch.int64).to(search.label)
    return PathResult(
        anchors=tuple(search.anchors),
        label=search.label,
        distance=search.distance,
        step=search.step,
        straight=search.straight,
        found=search.found,
        by_tree=search.by_tree,
        num_anchors=torch.where(search.found, count - 2, -1),
        depth=search.depth,
        relative_length=torch.where(search.found, relative, torch.nan),
        attempts=search.attempts,
        calls=search.calls,
        budget_hit=search.budget_hit & ~search.found,
        label_checks=search.label_checks,
        projections=search.projections,
        forwards=search.forwards,
        backwards=search.backwards,
    )


def recheck(model: Model, result: PathResult, *, finer: int = 10, batch_size: int = 512) -> Tensor:
    """Whether the found paths hold with every interval divided into `finer` ones; (P,) bool, false where not found.

    Args:
        model: points (N, ...) to logits (N, K).
        result: of `find_paths`.
        finer: how many intervals one becomes.
        batch_size: points in a forward pass.
    """
    right = result.found.clone()
    for pair in result.found.nonzero()[:, 0].tolist():
        spacing = result.step * result.distance[pair]
        right[pair], _ = holds(model, result.anchors[pair], result.label[pair], spacing, finer, batch_size)
    return right
