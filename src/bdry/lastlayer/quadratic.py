"""Quadratic programs over alpha >= 0: the dual of the SVM, and the cone of the KKT residual."""

from __future__ import annotations

import torch
from torch import Tensor

from .work import Work

# exchanges of block pivoting, at most; in a row without progress
PIVOTS, PATIENCE = 20, 3
# cycles, at most; projected gradient steps of one
CYCLES, STEPS = 50, 20
# share of the free variables that may change before they are factored anew, and what rounding may leave of c there
FEW_CHANGES, ROUNDING = 1 / 16, 1e-9
# of the mean diagonal: what keeps the factorisation going where pairs depend on each other
RIDGE = 1e-12


def nonnegative_qp(
    q: Tensor,
    c: Tensor,
    start: Tensor,
    *,
    ceiling: float = torch.inf,
    tolerance: float = 1e-10,
    work: Work | None = None,
) -> Tensor:
    """argmin 1/2 <alpha, q alpha> - <c, alpha> over alpha >= 0.

    First by block principal pivoting, which is fast but may go round in circles. Where it does, in cycles, each of some
    projected gradient steps, which find out what is 0, and a Newton step among the rest, which is shortened until the
    objective falls along its projection.

    Args:
        q: (P, P), positive semidefinite. c: (P,). start: (P,), >= 0.
        ceiling: on <c, alpha>, for problems that may be unbounded: beyond it, what has been reached is returned.
        tolerance: on the gradient, where it is not complementary to alpha, relative to the largest of c.
        work: what it may spend; no exchange and no cycle begins after that but the first.

    Returns:
        (P,); after `CYCLES`, at the end of the work, or where rounding lets nothing fall any more, what was reached.

    Reference: Bertsekas 1982, Projected Newton methods for optimization problems with simple constraints; Judice and
    Pires 1994, A block principal pivoting algorithm for large-scale strictly monotone linear complementarity problems.
    """
    alpha = start.clone()
    work = work or Work()
    allowed = tolerance * float(c.abs().max())
    ridge = RIDGE * (float(q.diagonal().mean()) or 1.0)
    pivoted = _pivoted(q, c, (alpha > 0) | (q @ alpha - c < -allowed), allowed, ridge, work)
    if pivoted is not None:
        return pivoted
    damping = ridge
    rate = 1 / _largest_eigenvalue(q)
    for _ in range(CYCLES):
        before = alpha
        work.count(2 * (STEPS + 3) * q.numel())
        alpha = _projected_gradient(q, c, alpha, rate)
        gradient = q @ alpha - c
        free = (alpha > 0) | (gradient < 0)
        if not bool((gradient[free].abs() > allowed).any()):
            break
        rows = free.nonzero()[:, 0]
        work.count(len(rows) ** 3 / 3)
        step = torch.zeros_like(alpha)
        factor = cholesky(q[rows[:, None], rows], damping)
        step[rows] = torch.cholesky_solve(-gradient[rows, None], factor)[:, 0]
        objective = float(alpha @ (gradient - c))
        length = 1.0
        while length > 1e-2:
            trial = (alpha + length * step).clamp_min(0)
            if float(trial @ (q @ trial - 2 * c)) < objective:
                alpha = trial
                break
            length /= 4
        # many free variables that depend on each other: the next step stays nearer to where it is
        damping = max(damping / 100, ridge) if length == 1 else damping * 100
        if torch.equal(alpha, before) or float(c @ alpha) > ceiling or work.over:
            break
    return alpha


def _pivoted(q: Tensor, c: Tensor, free: Tensor, allowed: float, ridge: float, work: Work) -> Tensor | None:
    """The solution from a guess at what is not 0: all that turn out wrong change places, again and again.

    None where these do not become fewer.
    """
    fewest, patience = len(c) + 1, PATIENCE
    work.count(int(free.sum()) ** 3 / 3)
    factored = _Factored(q, c, free, ridge)
    for _ in range(PIVOTS):
        work.count(4 * q.numel())
        alpha = factored.solution(free)
        if alpha is None:
            work.count(int(free.sum()) ** 3 / 3)
            factored = _Factored(q, c, free, ridge)
            alpha = factored.alpha
        gradient = q @ alpha - c
        wrong = torch.where(free, alpha < 0, gradient < -allowed)
        count = int(wrong.sum())
        # what is below 0 by no more than rounding does no harm
        clamped = alpha.clamp_min(0)
        left = q @ clamped - c
        if count == 0 or not bool((left[(clamped > 0) | (left < 0)].abs() > allowed).any()):
            return clamped
        if work.over:
            return clamped
        patience = PATIENCE if count < fewest else patience - 1
        if patience == 0:
            return None
        fewest, free = min(count, fewest), free ^ wrong
    return None


class _Factored:
    """The Cholesky factor of the rows and columns of q that are free; alpha: (P,), q alpha = c on them, 0 elsewhere."""

    def __init__(self, q: Tensor, c: Tensor, free: Tensor, ridge: float) -> None:
        self.q, self.c, self.free = q, c, free
        self.rows = free.nonzero()[:, 0]
        self.factor = cholesky(q[self.rows[:, None], self.rows], ridge)
        self.alpha = torch.zeros_like(c)
        self.alpha[self.rows] = torch.cholesky_solve(c[self.rows, None], self.factor)[:, 0]

    def solution(self, free: Tensor) -> Tensor | None:
        """`alpha` for another `free`, by the Schur complement of what came and of conditions that what went is 0.

        None where so much changed that a new factor is as fast, or rounding shows.
        """
        came, went = (free & ~self.free).nonzero()[:, 0], (self.free & ~free).nonzero()[:, 0]
        if len(came) + len(went) == 0:
            return self.alpha
        if len(came) + len(went) > len(self.rows) * FEW_CHANGES:
            return None
        conditions = self.q.new_zeros(len(self.rows), len(went))
        conditions[torch.searchsorted(self.rows, went), torch.arange(len(went))] = 1
        beside = torch.cat([self.q[self.rows[:, None], came], conditions], 1)
        solved = torch.cholesky_solve(beside, self.factor)
        complement = -beside.T @ solved
        complement[: len(came), : len(came)] += self.q[came[:, None], came]
        right = torch.cat([self.c[came], self.c.new_zeros(len(went))]) - beside.T @ self.alpha[self.rows]
        change, failed = torch.linalg.solve_ex(complement, right)
        alpha = self.alpha.clone()
        alpha[self.rows] -= solved @ change
        alpha[came] = change[: len(came)]
        alpha[went] = 0
        left = (self.q @ alpha - self.c)[free].abs().max()
        return alpha if not bool(failed) and float(left) <= ROUNDING * float(self.c.abs().max()) else None


def _projected_gradient(q: Tensor, c: Tensor, alpha: Tensor, rate: float) -> Tensor:
    """Accelerated projected gradient steps of length `rate` (Beck and Teboulle 2009)."""
    ahead, weight = alpha, 1.0
    for _ in range(STEPS):
        trial = (ahead - rate * (q @ ahead - c)).clamp_min(0)
        following = (1 + (1 + 4 * weight**2) ** 0.5) / 2
        ahead = trial + (weight - 1) / following * (trial - alpha)
        alpha, weight = trial, following
    return alpha


def _largest_eigenvalue(q: Tensor) -> float:
    """By power iteration, a tenth above what it finds."""
    vector = q.diagonal().clone()
    length = vector.norm()
    for _ in range(20):
        if float(length) == 0:
            return 1.0
        vector = q @ (vector / length)
        length = vector.norm()
    return 1.1 * float(length) or 1.0


def cholesky(q: Tensor, ridge: float) -> Tensor:
    """The factor of q, which is overwritten, with as much of a ridge as it takes."""
    added = 0.0
    while True:
        q.diagonal().add_(ridge - added)
        factor, failed = torch.linalg.cholesky_ex(q)
        if not bool(failed):
            return factor
        added, ridge = ridge, ridge * 100
