"""The SVM's dual on a growing working set of pairs, with a certificate that needs no trust in any solver.

For every alpha >= 0 (and sum alpha (e_y - e_k) = 0 where the bias is free) the margin of no layer of norm 1 exceeds
||sum alpha z|| / sum alpha; the margin of W = sum alpha z itself is a lower bound. The gap between the two is 0 at the
solution alone.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from .problem import FREE_CONSTANT, Problem
from .quadratic import nonnegative_qp

# no margin above this share of the features' rms norm is taken for: not separable; the dual is then above 5e7
SMALLEST_MARGIN = 1e-4
# pairs of the first working set, at most
MOST_AT_FIRST = 6000
# with a free bias the bound holds for biases up to so many times the one found
BIAS_ROOM = 10.0


@dataclass(frozen=True)
class Iterate:
    """Multipliers of the pairs (samples, others), all (P,), and what follows from them in the scaled problem.

    weights: (K, D), sum alpha z. offsets: (K,), the bias outside the norm. lower, upper: bounds on the best margin;
    margins: (N, K), of the weights as they are.
    """

    samples: Tensor
    others: Tensor
    alpha: Tensor
    weights: Tensor
    offsets: Tensor
    margins: Tensor
    lower: float
    upper: float

    @property
    def gap(self) -> float:
        """1 - lower / upper: 0 at the solution; above 1 where the weights do not separate the classes."""
        return 1 - self.lower / self.upper if self.upper > 0 else float("inf")


def evaluate(problem: Problem, samples: Tensor, others: Tensor, alpha: Tensor, offsets: Tensor) -> Iterate:
    """Weights, margins and both bounds, recomputed from the multipliers and all samples."""
    weights = problem.weights(samples, others, alpha)
    length, total = float(problem.norm(weights)), float(alpha.sum())
    slack = 0.0
    if problem.bias == "free":
        residual = weights[:, -1] / FREE_CONSTANT
        offsets = offsets + FREE_CONSTANT * weights[:, -1]
        weights = torch.cat([weights[:, :-1], torch.zeros_like(weights[:, -1:])], 1)
        slack = BIAS_ROOM * float(offsets.norm()) / max(length, 1e-300) * float(residual.norm())
    margins = problem.margins(weights, offsets)
    lower = float(margins.min()) / max(length, 1e-300)
    return Iterate(samples, others, alpha, weights, offsets, margins, lower, (length + slack) / max(total, 1e-300))


def solve_active_set(
    problem: Problem,
    weights: Tensor,
    multipliers: Tensor | None,
    gap: float,
    *,
    rounds: int = 100,
    deadline: float = torch.inf,
) -> Iterate:
    """From `weights` (K, D), whose smallest margin should be about 1, to the solution.

    Each round solves the dual on the working set, then adds the most violated pairs of all samples and drops those
    that are free. It ends at the relative `gap`, where the bound shows that nothing separates the classes, or when
    time.monotonic() has passed the deadline. multipliers: (N, K), where they are known; the weights are their sum of z
    and may be all that was asked for.
    """
    offsets = torch.zeros_like(weights[:, 0])
    best: Iterate | None = None
    if multipliers is not None and int(multipliers.count_nonzero()) <= MOST_AT_FIRST:
        samples, others = multipliers.nonzero(as_tuple=True)
        best = evaluate(problem, samples, others, multipliers[samples, others], offsets)
        if best.gap <= gap or best.upper < SMALLEST_MARGIN:
            return best
        offsets = best.offsets
        samples, others, alpha = _changed(problem, best)
    else:
        samples, others = _first_pairs(problem.margins(weights, offsets), problem.labels)
        # at the solution the multipliers sum to the squared norm
        alpha = weights.new_full((len(samples),), float(problem.norm(weights)) ** 2 / len(samples))
    for _ in range(rounds):
        # in the method of multipliers the offsets found so far change what a pair still asks for
        wanted = 1 - problem.signs(samples, others) @ offsets
        # a working set that lacks pairs is not worth an exact solution
        missing = min(best.gap, 1.0) if best else 1.0
        alpha = nonnegative_qp(
            problem.gram(samples, others),
            wanted,
            alpha,
            ceiling=2 / SMALLEST_MARGIN**2,
            tolerance=0.01 * max(gap, missing),
            deadline=deadline,
        )
        found = evaluate(problem, samples, others, alpha, offsets)
        offsets = found.offsets
        if best is None or found.gap < best.gap:
            best = found
        if best.gap <= gap or found.upper < SMALLEST_MARGIN or time.monotonic() > deadline:
            break
        samples, others, alpha = _changed(problem, found)
    assert best is not None
    return found if found.upper < SMALLEST_MARGIN else best


def _first_pairs(margins: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Those below or near a margin of 1, where the start is good enough to leave few; else some of all class pairs."""
    # the support scatters about as far above 1 as the smallest margin is below
    near = margins < 2 - margins.min().clamp(0.95, 0.99)
    if len(labels.unique()) <= int(near.sum()) <= MOST_AT_FIRST:
        samples, others = near.nonzero(as_tuple=True)
        return samples, others
    return _nearest_pairs(margins, labels)


def _nearest_pairs(margins: Tensor, labels: Tensor, each: int = 30) -> tuple[Tensor, Tensor]:
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
