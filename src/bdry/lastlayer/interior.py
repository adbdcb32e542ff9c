"""The SVM for few features: its primal on a growing set of pairs by Clarabel's interior-point method.

Coordinate descent crawls where the features' radius is large beside the margin; here the number of weights is small,
and an interior point does not mind.
"""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import Tensor

from .activeset import Iterate, evaluate
from .problem import FREE_CONSTANT, Problem

# lowest margins of each ordered pair of classes that a round adds
EACH = 60
# as in the active set; an interior point can tell smaller margins from none
SMALLEST_MARGIN = 1e-7


def solve_interior(
    problem: Problem, weights: Tensor, gap: float, *, rounds: int = 50, deadline: float = torch.inf
) -> Iterate:
    """From the pairs that `weights`, (K, D), leave nearest to the boundary to the solution.

    No round begins when time.monotonic() has passed the deadline.

    Source: docs/papers/li2018.md, Solvers (small features).
    """
    margins = problem.margins(weights, torch.zeros_like(weights[:, 0]))
    inside = torch.zeros_like(margins, dtype=torch.bool)
    for _ in range(rounds):
        _add_lowest(inside, margins, problem.labels)
        samples, others = inside.nonzero(as_tuple=True)
        solution, alpha = _quadratic_program(problem, samples, others)
        offsets = torch.zeros_like(solution[:, 0])
        if problem.bias == "free":
            offsets = FREE_CONSTANT * solution[:, -1]
        found = evaluate(problem, samples, others, alpha, offsets)
        margins = found.margins
        violated = (margins < 1 - gap / 2) & ~inside
        done = found.gap <= gap or found.upper < SMALLEST_MARGIN or not bool(violated.any())
        if done or time.monotonic() > deadline:
            break
    return found


def _add_lowest(inside: Tensor, margins: Tensor, labels: Tensor) -> None:
    """Marks the pairs of lowest margin, of those not marked yet, for every ordered pair of classes."""
    outside = margins.masked_fill(inside, torch.inf)
    for label in labels.unique().tolist():
        own = (labels == label).nonzero()[:, 0]
        values, place = outside[own].topk(min(EACH, len(own)), dim=0, largest=False)
        rows, columns = values.isfinite().nonzero(as_tuple=True)
        inside[own[place[rows, columns]], columns] = True


def _quadratic_program(problem: Problem, samples: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Weights (K, D) of least norm with margin 1 on the pairs, and the pairs' multipliers >= 0."""
    import clarabel  # type: ignore[import-untyped]
    from scipy import sparse

    signs, x = problem.signs(samples, others), problem.x[samples]
    rows = (signs[:, :, None] * x[:, None, :]).flatten(1).cpu().numpy()
    penalty = np.ones((problem.num_classes, x.shape[1]))
    if problem.bias == "free":
        penalty[:, -1] = 0
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.max_threads = 1
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-12
    solution = clarabel.DefaultSolver(
        sparse.diags(penalty.ravel(), format="csc"),
        np.zeros(penalty.size),
        sparse.csc_matrix(-rows),
        -np.ones(len(rows)),
        [clarabel.NonnegativeConeT(len(rows))],
        settings,
    ).solve()
    # infeasible or not: what the multipliers prove is computed from them, whatever the solver says
    weights, alpha = (
        torch.as_tensor(np.array(part), dtype=x.dtype, device=x.device) for part in (solution.x, solution.z)
    )
    return weights.reshape(penalty.shape), alpha.nan_to_num(0.0).clamp_min(0)
