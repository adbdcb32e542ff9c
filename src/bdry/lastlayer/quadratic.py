"""Quadratic programs over alpha >= 0: the dual of the SVM, and the cone of the KKT residual."""

from __future__ import annotations

import time

import torch
from torch import Tensor

# of the mean diagonal: what keeps the factorisation going where pairs depend on each other
RIDGE = 1e-12


def nonnegative_qp(
    q: Tensor,
    c: Tensor,
    start: Tensor,
    *,
    ceiling: float = torch.inf,
    tolerance: float = 1e-10,
    cycles: int = 50,
    deadline: float = torch.inf,
) -> Tensor:
    """argmin 1/2 <alpha, q alpha> - <c, alpha> over alpha >= 0.

    A cycle is some projected gradient steps, which find out what is 0, and a Newton step among the rest, which is
    halved until the objective falls along its projection.

    Args:
        q: (P, P), positive semidefinite. c: (P,). start: (P,), >= 0.
        ceiling: on <c, alpha>, for problems that may be unbounded: beyond it, what has been reached is returned.
        tolerance: on the gradient, where it is not complementary to alpha, relative to the largest of c.
        deadline: on time.monotonic(), after which no cycle begins but the first.

    Returns:
        (P,); after `cycles`, at the deadline, or where rounding lets nothing fall any more, what has been reached.

    Reference: Bertsekas 1982, Projected Newton methods for optimization problems with simple constraints.
    """
    alpha = start.clone()
    allowed = tolerance * float(c.abs().max())
    ridge = RIDGE * (float(q.diagonal().mean()) or 1.0)
    damping = ridge
    rate = 1 / _largest_eigenvalue(q)
    for _ in range(cycles):
        before = alpha
        alpha = _projected_gradient(q, c, alpha, rate)
        gradient = q @ alpha - c
        free = (alpha > 0) | (gradient < 0)
        if not bool((gradient[free].abs() > allowed).any()):
            break
        rows = free.nonzero()[:, 0]
        step = torch.zeros_like(alpha)
        step[rows] = _solve(q[rows][:, rows], -gradient[rows], damping)
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
        if torch.equal(alpha, before) or float(c @ alpha) > ceiling or time.monotonic() > deadline:
            break
    return alpha


def _projected_gradient(q: Tensor, c: Tensor, alpha: Tensor, rate: float, steps: int = 20) -> Tensor:
    """Accelerated projected gradient steps of length `rate` (Beck and Teboulle 2009)."""
    ahead, weight = alpha, 1.0
    for _ in range(steps):
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


def _solve(q: Tensor, right: Tensor, ridge: float) -> Tensor:
    """q^-1 right by Cholesky, with as much of a ridge as it takes."""
    eye = torch.eye(len(q), dtype=q.dtype, device=q.device)
    while True:
        factor, failed = torch.linalg.cholesky_ex(q + ridge * eye)
        if not bool(failed):
            return torch.cholesky_solve(right[:, None], factor)[:, 0]
        ridge *= 100
