"""What is proven of the best margin: from below by a layer, from above by multipliers, whatever solver found them.

For every alpha >= 0 (with sum alpha (e_y - e_k) = 0 where the bias is free) no layer of norm 1 has a margin above
||sum alpha z|| / sum alpha. At the solution this is the margin of W = sum alpha z itself; where it is 0, no layer
separates the classes at all (Farkas' lemma).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from .problem import Problem
from .quadratic import cholesky
from .work import Work

# a bound on the margin, in the features' spread, that proves that nothing separates the classes: rounding alone is left
NO_MARGIN = 1e-10
# what rounding may make of a margin of 0, in roundings of the largest sample
NO_SEPARATION = 4
# from this bound on, a proof that there is no margin is looked for; by so many steps
SMALL_MARGIN, PROOF_STEPS = 1e-2, 12
# numbers in the matrix of that proof, at most
PROOF_SIZE = 5e7
# and where the exact combination nearest to 0 is affordable
EXACT_SIZE = 4e6
# where rounding leaves some of the sum that a free bias asks to be 0: the bound is for biases up to so many times ours
BIAS_ROOM = 10.0


@dataclass(frozen=True)
class Iterate:
    """Multipliers of the pairs (samples, others), all (P,), and what follows from them.

    weights: (K, D), sum alpha z, but for the last column, which comes from a proximal step. margins: (N, K), of these
    weights. lower, upper: bounds on the best margin / norm.
    """

    samples: Tensor
    others: Tensor
    alpha: Tensor
    weights: Tensor
    margins: Tensor
    lower: float
    upper: float

    @property
    def gap(self) -> float:
        """1 - lower / upper: 0 at the solution, above 1 where the weights do not separate the classes."""
        return _gap(self.lower, self.upper)


@dataclass
class Bounds:
    """The best layer and the best proof so far of one problem.

    ground: the problem that says whether the classes can be separated at all. With a penalised bias that is the one
        with a free bias on the same features: both separate the same classes, but an offset that the features have in
        common makes the margin of the first as small as rounding.
    upper, refutation: what multipliers prove to be the best margin at most, in `problem` and in `ground`.
    rounding: what a margin / norm of 0 may look like.
    """

    problem: Problem
    ground: Problem
    weights: Tensor | None = None
    lower: float = -math.inf
    proof: tuple[Tensor, Tensor, Tensor] | None = None
    upper: float = field(default=math.inf)
    refutation: float = field(default=math.inf)
    rounding: float = field(init=False)

    def __post_init__(self) -> None:
        x = self.problem.x
        self.rounding = NO_SEPARATION * torch.finfo(x.dtype).eps * float(x.norm(dim=1).max())

    @property
    def gap(self) -> float:
        """1 - lower / upper of the best of both."""
        return _gap(self.lower, self.upper)

    @property
    def separable(self) -> bool:
        """Whether a layer that separates the samples, by more than rounding, is known."""
        return self.lower > self.rounding

    @property
    def refuted(self) -> bool:
        """Whether it is proven that there is none."""
        return not self.separable and self.refutation <= NO_MARGIN

    def offer(self, weights: Tensor) -> None:
        """Takes (K, D) weights, from wherever they come, if their margin is the best so far."""
        length = self.problem.norm(weights)
        if length > 0 and math.isfinite(length):
            self._offer(weights, float(self.problem.margins(weights).min()) / length)

    def take(self, found: Iterate) -> None:
        """Both sides of an iterate."""
        if found.gap <= self.gap:
            # layer and multipliers that belong to each other
            self.weights, self.lower = found.weights, found.lower
        self._offer(found.weights, found.lower)
        self._prove(found.samples, found.others, found.alpha, found.upper)

    def refute(self, samples: Tensor, others: Tensor, alpha: Tensor) -> None:
        """Takes what the multipliers (P,) of the pairs (samples, others) prove, whether anything separates included."""
        summed = self.problem.weights(samples, others, alpha)
        self._prove(samples, others, alpha, _upper(self.problem, summed, alpha, None))
        summed = self.ground.weights(samples, others, alpha)
        self.refutation = min(self.refutation, _upper(self.ground, summed, alpha, None))

    def disprove(self, found: Iterate, work: Work) -> None:
        """Looks for multipliers near those of `found` whose sum of z is 0, which would prove that nothing separates.

        Newton steps onto alpha^T Z = 0 in the metric of alpha itself, which keeps small multipliers above 0.
        """
        problem = self.ground
        # scaled columns, hence the sum is 0 in these as well
        used = found.alpha > 1e-14 * found.alpha.max()
        samples, others, alpha = found.samples[used], found.others[used], found.alpha[used]
        size = problem.num_classes * problem.x.shape[1]
        # a layer of biases alone, as of features that are all the same, is no scale for what is small
        is_far = found.upper > SMALL_MARGIN and self.problem.norm(found.weights) > 0
        if self.separable or is_far or len(alpha) * size > PROOF_SIZE or len(alpha) == 0:
            return
        rows = problem.rows(samples, others)
        alpha = alpha / alpha.sum()
        for _ in range(PROOF_STEPS):
            work.count(2 * len(alpha) * size**2 + size**3 / 3)
            left = rows.T @ alpha
            if float(left.norm()) <= 1e-2 * NO_MARGIN:
                break
            normal = rows.T @ (alpha[:, None] * rows)
            factor = cholesky(normal, 1e-13 * float(normal.diagonal().mean()))
            step = -alpha * (rows @ torch.cholesky_solve(left[:, None], factor)[:, 0])
            most = float((-step / alpha).max())
            alpha = alpha + min(1.0, 0.99 / max(most, 1e-300)) * step
            if work.over:
                break
        self.refute(samples, others, alpha)
        if not self.refuted and rows.numel() <= EXACT_SIZE and not work.over:
            work.count(4 * size * rows.numel())
            self.refute(samples, others, _nearest_to_none(rows))

    def _offer(self, weights: Tensor, lower: float) -> None:
        if lower > self.lower:
            self.weights, self.lower = weights, lower

    def _prove(self, samples: Tensor, others: Tensor, alpha: Tensor, upper: float) -> None:
        if upper < self.upper:
            self.proof, self.upper = (samples, others, alpha), upper
        if self.ground is self.problem:
            self.refutation = min(self.refutation, upper)


def evaluate(problem: Problem, samples: Tensor, others: Tensor, alpha: Tensor, anchor: Tensor) -> Iterate:
    """Weights, margins and both bounds, recomputed from the multipliers and all samples.

    Args:
        anchor: (K,), the last column that the proximal step stays near; see `activeset`.
    """
    last = problem.weights(samples, others, alpha)[:, -1] + (1 - problem.penalty) * anchor
    if problem.penalty == 0:
        alpha = _balanced(problem, samples, others, alpha)
    summed = problem.weights(samples, others, alpha)
    weights = torch.cat([summed[:, :-1], last[:, None]], 1)
    margins = problem.margins(weights)
    lower = float(margins.min()) / max(problem.norm(weights), 1e-300)
    return Iterate(samples, others, alpha, weights, margins, lower, _upper(problem, summed, alpha, weights))


def _nearest_to_none(rows: Tensor) -> Tensor:
    """The convex combination of (P, size) rows that is nearest to 0, (P,), by Lawson and Hanson's active sets."""
    # here, because it is slow to import and most commands do without
    from scipy.optimize import nnls

    matrix = np.column_stack([rows.cpu().numpy(), np.ones(len(rows))]).T
    try:
        alpha, _ = nnls(matrix, np.append(np.zeros(rows.shape[1]), 1.0))
    except RuntimeError:
        # it found no end
        alpha = np.zeros(len(rows))
    return torch.as_tensor(alpha, dtype=rows.dtype, device=rows.device)


def _upper(problem: Problem, summed: Tensor, alpha: Tensor, weights: Tensor | None) -> float:
    """The bound that `alpha` proves, `summed` being sum alpha z; of `weights` the bias is taken for the likely one."""
    length, last, total = float(summed[:, :-1].norm()), float(summed[:, -1].norm()), float(alpha.sum())
    if not total > 0:
        # no multipliers prove nothing
        return math.inf
    if problem.penalty > 0:
        return math.hypot(length, last / math.sqrt(problem.penalty)) / total
    bias = 1.0 if weights is None else float(weights[:, -1].norm()) / max(problem.norm(weights), 1e-300)
    return (length + BIAS_ROOM * bias * last) / total


def _balanced(problem: Problem, samples: Tensor, others: Tensor, alpha: Tensor) -> Tensor:
    """The multipliers nearest to `alpha`, in its own metric, with sum alpha (e_y - e_k) = 0, as a free bias asks."""
    signs = problem.signs(samples, others)
    for _ in range(3):
        left = signs.T @ alpha
        if float(left.abs().max()) <= 1e-15 * float(alpha.sum()):
            break
        inverse = torch.linalg.pinv(signs.T @ (alpha[:, None] * signs), hermitian=True)
        alpha = (alpha - alpha * (signs @ (inverse @ left))).clamp_min(0)
    return alpha


def _gap(lower: float, upper: float) -> float:
    return 1 - lower / upper if upper > 0 and math.isfinite(lower) else math.inf
