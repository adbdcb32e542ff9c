"""The SVM's dual on a growing working set of pairs, with a certificate that needs no trust in any solver.

The last column u of the weights, which a free bias or a large common part of the features leaves nearly without a
penalty, is found by proximal steps: each solves the problem with (1 - penalty) |u - anchor|^2 added, and moves the
anchor (the method of multipliers; Rockafellar 1976). With penalty 1 there is nothing to move.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .bounds import Bounds, Iterate, evaluate
from .problem import Problem
from .quadratic import nonnegative_qp
from .work import Work

# below this share of the features' spread Gram matrices are too coarse: the interior point goes on from there
SMALLEST_MARGIN = 1e-4
# pairs of the first working set, at most
MOST_AT_FIRST = 6000
# rounds, at most; in a row in which neither bound moves
ROUNDS, PATIENCE = 100, 6


# lowest margins of each ordered pair of classes in the first working set
EACH = 30


def solve_active_set(bounds: Bounds, weights: Tensor, multipliers: Tensor | None, gap: float, work: Work) -> None:
    """From `weights` (K, D), whose smallest margin should be about 1, towards the solution, kept in `bounds`.

    Each round solves the dual on the working set, then adds the most violated pairs of all samples and drops those
    that are free. It ends at the relative `gap`, where the margin is too small for this method, or with the work.

    Args:
        bounds: Of the problem; takes every iterate.
        weights: (K, D).
        multipliers: (N, K) where they are known, the weights being their sum of z; may be all that was asked for.
        gap: 1 - lower / upper at which it ends.
        work: What it may spend.
    """
    problem = bounds.problem
    anchor = torch.zeros_like(weights[:, 0])
    if multipliers is not None and int(multipliers.count_nonzero()) <= MOST_AT_FIRST:
        samples, others = multipliers.nonzero(as_tuple=True)
        found = evaluate(problem, samples, others, multipliers[samples, others], anchor)
        bounds.take(found)
        if bounds.gap <= gap or _too_small(bounds, found):
            bounds.disprove(found, work)
            return
        anchor = found.weights[:, -1]
        samples, others, alpha = _changed(problem, found)
    else:
        samples, others = _first_pairs(problem.margins(weights), problem.labels, _affordable(problem, work))
        # at the solution the multipliers sum to the squared norm
        alpha = weights.new_full((len(samples),), problem.norm(weights) ** 2 / len(samples))
    reached, patience = bounds.gap, PATIENCE
    for _ in range(ROUNDS):
        # what the anchor gives a pair already it does not ask for
        given = problem.signs(samples, others) @ anchor * problem.x[samples, -1]
        work.count(2 * len(samples) ** 2 * problem.x.shape[1])
        alpha = nonnegative_qp(
            problem.gram(samples, others),
            1 - (1 - problem.penalty) * given,
            alpha,
            ceiling=2 / max(SMALLEST_MARGIN, bounds.lower) ** 2,
            # a working set that lacks pairs is not worth an exact solution
            tolerance=0.01 * max(gap, min(bounds.gap, 1.0)),
            work=work,
        )
        work.count(2 * problem.x.numel() * problem.num_classes)
        found = evaluate(problem, samples, others, alpha, anchor)
        anchor = found.weights[:, -1]
        bounds.take(found)
        patience = PATIENCE if bounds.gap < 0.99 * reached else patience - 1
        reached = min(reached, bounds.gap)
        if bounds.gap <= gap or _too_small(bounds, found) or work.over or patience == 0:
            break
        samples, others, alpha = _changed(problem, found)
    bounds.disprove(found, work)


def _too_small(bounds: Bounds, found: Iterate) -> bool:
    return not bounds.separable and found.upper < SMALLEST_MARGIN


def _affordable(problem: Problem, work: Work) -> int:
    """Of the EACH pairs of two classes how many an exact solution has work left for; one at least, for a proof."""
    if not work.bounded:
        return EACH
    num_pairs = (3 * work.left) ** (1 / 3)
    return max(1, min(EACH, int(num_pairs / (problem.num_classes * (problem.num_classes - 1)))))


def _first_pairs(margins: Tensor, labels: Tensor, each: int) -> tuple[Tensor, Tensor]:
    """Those below or near a margin of 1, where the start is good enough to leave few; else some of all class pairs."""
    # the support scatters about as far above 1 as the smallest margin is below
    near = margins < 2 - margins.min().clamp(0.95, 0.99)
    if len(labels.unique()) <= int(near.sum()) <= MOST_AT_FIRST:
        samples, others = near.nonzero(as_tuple=True)
        return samples, others
    return _nearest_pairs(margins, labels, each)


def _nearest_pairs(margins: Tensor, labels: Tensor, each: int) -> tuple[Tensor, Tensor]:
    """The pairs of lowest margin, `each` of them for every ordered pair of classes."""
    samples, others = [], []
    for label in labels.unique().tolist():
        own = (labels == label).nonzero()[:, 0]
        for other in range(margins.shape[1]):
            if other != label:
                lowest = margins[own, other].topk(min(each, len(own)), largest=False).indices
                samples.append(own[lowest])
                others.append(torch.full_like(lowest, other))
    return torch.cat(samples), torch.cat(others)


def _changed(problem: Problem, found: Iterate) -> tuple[Tensor, Tensor, Tensor]:
    """The working set without pairs that were free, and with the most violated ones outside it."""
    keep = (found.alpha > 0) | (found.margins[found.samples, found.others] < 1.02)
    samples, others, alpha = found.samples[keep], found.others[keep], found.alpha[keep]
    outside = found.margins.index_put((samples, others), torch.tensor(torch.inf, dtype=found.margins.dtype))
    worst, place = outside.flatten().topk(min(max(500, len(samples) // 3), outside.numel()), largest=False)
    place = place[worst < 1 - 1e-12]
    classes = outside.shape[1]
    return (
        torch.cat([samples, place // classes]),
        torch.cat([others, place % classes]),
        torch.cat([alpha, alpha.new_zeros(len(place))]),
    )
