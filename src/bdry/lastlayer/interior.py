"""The SVM's primal on a growing set of pairs by Clarabel's interior-point method: few features, or a small margin.

Coordinate descent crawls where the features' radius is large beside the margin, and Gram matrices square the ratio;
an interior point does not mind, but its cost grows with the number of weights.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .bounds import Bounds, evaluate
from .problem import Problem
from .work import Work

# lowest margins of each ordered pair of classes that a round adds
EACH = 60
# rounds, and iterations of one, at most
ROUNDS, ITERATIONS = 50, 200
# changes of the active pairs and equations of a polished solution, at most; steps of iterative refinement
POLISHES, MOST_EQUATIONS, REFINEMENTS = 12, 4000, 4


def solve_interior(bounds: Bounds, weights: Tensor, gap: float, work: Work) -> None:
    """From the pairs that `weights`, (K, D), leave nearest to the boundary towards the solution, kept in `bounds`.

    It ends at the relative `gap`, with a proof that nothing separates the classes, where no pair is violated any more,
    or with the work.
    """
    problem = bounds.problem
    margins = problem.margins(weights)
    inside = torch.zeros_like(margins, dtype=torch.bool)
    for _ in range(ROUNDS):
        _add_lowest(inside, margins, problem.labels)
        samples, others = inside.nonzero(as_tuple=True)
        solution, alpha = _quadratic_program(problem, samples, others, work)
        found = evaluate(problem, samples, others, alpha, solution[:, -1])
        bounds.take(found)
        margins = found.margins
        if found.gap > gap:
            # the smaller the margin, the more of it rounding takes from the sum of z
            bounds.offer(solution)
            margins = problem.margins(solution)
            _polish(bounds, samples, others, solution, alpha, work)
            bounds.disprove(found, work)
        work.count(2 * problem.x.numel() * problem.num_classes)
        violated = (margins < 1 - gap / 2) & ~inside
        if bounds.gap <= gap or bounds.refuted or not bool(violated.any()) or work.over:
            break


def _polish(bounds: Bounds, samples: Tensor, others: Tensor, weights: Tensor, alpha: Tensor, work: Work) -> None:
    """Offers the exact solution with margin 1 on those pairs that look active, and changes these a few times.

    An interior point stops where rounding in its equations is above what a small margin leaves it.
    """
    problem = bounds.problem
    slack = problem.margins(weights)[samples, others] - 1
    active = alpha / alpha.max().clamp_min(1e-300) > slack
    for _ in range(POLISHES):
        size = weights.numel() + int(active.sum())
        if size > MOST_EQUATIONS or not bool(active.any()):
            return
        work.count(size**3)
        weights, found = _with_margin_one(problem, samples[active], others[active])
        if not bool(weights.isfinite().all()):
            return
        bounds.offer(weights)
        bounds.take(evaluate(problem, samples[active], others[active], found.clamp_min(0), weights[:, -1]))
        wrong = torch.zeros_like(active)
        wrong[active] = found < 0
        changed = (active & ~wrong) | (~active & (problem.margins(weights)[samples, others] < 1 - 1e-9))
        if torch.equal(changed, active) or work.over:
            return
        active = changed


def _with_margin_one(problem: Problem, samples: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Weights (K, D) of least norm whose margins on these P pairs are 1, and multipliers (P,) of any sign.

    The weights' and the multipliers' equations together: none is squared, as in Gram matrices.
    """
    rows = problem.rows(samples, others)
    # each row over its length: samples may be of very different size
    lengths = rows.norm(dim=1).clamp_min(1e-300)
    rows = rows / lengths[:, None]
    count, size = rows.shape
    penalty = torch.ones(problem.num_classes, size // problem.num_classes, dtype=rows.dtype, device=rows.device)
    penalty[:, -1] = problem.penalty
    system = torch.zeros(size + count, size + count, dtype=rows.dtype, device=rows.device)
    system[:size, :size] = penalty.flatten().diag()
    if problem.penalty == 0:
        # one number added to all biases changes no margin: their sum is to be 0
        last = torch.arange(problem.num_classes, device=rows.device) * penalty.shape[1] + penalty.shape[1] - 1
        system[last[:, None], last] += 1.0
    system[:size, size:], system[size:, :size] = -rows.T, rows
    system[size:, size:] = 1e-15 * torch.eye(count, dtype=rows.dtype, device=rows.device)
    right = torch.cat([rows.new_zeros(size), 1 / lengths])
    factors, pivots, failed = torch.linalg.lu_factor_ex(system)
    solution = torch.zeros_like(right)
    for _ in range(REFINEMENTS if not bool(failed) else 0):
        left = right - system @ solution
        left[size:] += 1e-15 * solution[size:]
        solution = solution + torch.linalg.lu_solve(factors, pivots, left[:, None])[:, 0]
    return solution[:size].view_as(penalty), solution[size:] / lengths


def _add_lowest(inside: Tensor, margins: Tensor, labels: Tensor) -> None:
    """Marks the pairs of lowest margin, of those not marked yet, for every ordered pair of classes."""
    outside = margins.masked_fill(inside, torch.inf)
    for label in labels.unique().tolist():
        own = (labels == label).nonzero()[:, 0]
        values, place = outside[own].topk(min(EACH, len(own)), dim=0, largest=False)
        rows, columns = values.isfinite().nonzero(as_tuple=True)
        inside[own[place[rows, columns]], columns] = True


def _quadratic_program(problem: Problem, samples: Tensor, others: Tensor, work: Work) -> tuple[Tensor, Tensor]:
    """Weights (K, D) of least norm with margin 1 on the pairs, and the pairs' multipliers >= 0."""
    import clarabel  # type: ignore[import-untyped]
    from scipy import sparse

    rows = problem.rows(samples, others).cpu().numpy()
    penalty = np.ones((problem.num_classes, problem.x.shape[1]))
    penalty[:, -1] = problem.penalty
    # a factorisation of its system of equations, whichever of both sides is the shorter
    short, long = sorted(rows.shape)
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.max_threads = 1
    settings.max_iter = work.times(short**2 * long, ITERATIONS)
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-12
    settings.tol_infeas_abs = settings.tol_infeas_rel = 1e-11
    solution = clarabel.DefaultSolver(
        sparse.diags(penalty.ravel(), format="csc"),
        np.zeros(penalty.size),
        sparse.csc_matrix(-rows),
        -np.ones(len(rows)),
        [clarabel.NonnegativeConeT(len(rows))],
        settings,
    ).solve()
    work.count(solution.iterations * short**2 * long)
    # infeasible or not: what the multipliers prove is computed from them, whatever the solver says
    weights, alpha = (
        torch.as_tensor(np.array(part), dtype=problem.x.dtype, device=problem.x.device).nan_to_num(0.0, 0.0, 0.0)
        for part in (solution.x, solution.z)
    )
    return weights.reshape(penalty.shape), alpha.clamp_min(0)
