"""The hard-margin K-class SVM: one function that picks a solver by size and certifies what it gives."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..registry import Registry
from .accelerated import accelerated_start
from .activeset import Iterate, solve_active_set
from .interior import solve_interior
from .layer import LastLayer, checked
from .problem import Problem, problem_of, variant
from .starts import Start, growing_crammer_singer, least_squares

# weights, K (d + 1), up to which the interior point is the faster one
FEW_WEIGHTS = 300

Solver = Callable[[Problem, float, float], tuple[Iterate, Start]]

# name -> solver of a scaled problem to a relative gap, or until time.monotonic() has passed a deadline
SOLVERS: Registry[Solver] = Registry("solver")


@dataclass(frozen=True)
class SvmSolution:
    """A last layer that a linear SVM asks for, and what is known about it.

    layer: weights (K, d) and biases (K,), mean row removed, the smallest margin 1 (hard-margin variants).
    variant: S1, S2, S3 (hard margin; bias penalised, none, free), or the comparators SVC, OvR, hard OvR, soft S1.
    margin: smallest pair margin over all samples / norm; S1 counts the bias into the norm. upper: a proven bound on the
    margin of any layer. gap: 1 - margin / upper, hence the angle to the solution is at most arccos(1 - gap).
    pairs: (P, 2), sample and other class of the support pairs, multipliers: (P,), of the solution with margin 1.
    separable: a separating layer was found; where none was, the layer is zeros, the margin nan, there are no pairs, and
    `upper` says what is ruled out. converged: the gap that was asked for is reached. C, tol: what a library was called
    with, or nan.
    """

    layer: LastLayer
    variant: str
    margin: float
    upper: float
    gap: float
    pairs: Tensor
    multipliers: Tensor
    separable: bool
    converged: bool
    seconds: float
    solver: str
    C: float
    tol: float

    @property
    def support_vectors(self) -> Tensor:
        """Samples with a multiplier above 0, (S,), ascending."""
        return self.pairs[:, 0].unique()

    @property
    def primal(self) -> float:
        """1/2 ||W||^2 of the solution with margin 1."""
        return 0.5 / self.margin**2

    @property
    def dual(self) -> float:
        """What the multipliers prove to be the least primal."""
        return 0.5 / self.upper**2


def hard_margin_svm(
    features: Tensor,
    labels: Tensor,
    bias: str = "penalised",
    *,
    num_classes: int | None = None,
    solver: str | None = None,
    gap: float = 1e-6,
    seconds: float = torch.inf,
) -> SvmSolution:
    """The K-class SVM with all pairwise constraints and no slack on (N, d) features with (N,) labels.

    Args:
        bias: "penalised" (S1, the limit of gradient descent on W and b), "none" (S2) or "free" (S3).
        num_classes: rows of W, by default the largest label + 1. A class without samples keeps its row, with the
            constraints of the others' samples against it, as its logit in softmax has (a free bias of it is any that
            is low enough).
        solver: "interior" (few weights), "liblinear" or "accelerated" (on an accelerator); None picks by size.
        gap: 1 - margin / bound at which it stops. Whatever found the multipliers, both are recomputed from them.
        seconds: after which it stops as well, having done the round it is in; for classes that may not be separable,
            where it could go on for long. A layer that separates them may then be missed.

    Raises:
        UsageError: unknown names, shapes or labels that do not fit, numbers that are not finite, a single class.

    Source: docs/papers/li2018.md, The limit and Solvers.
    """
    features, labels, classes = checked(features, labels, num_classes)
    problem = problem_of(features, labels, classes, bias)
    if solver is None:
        few = classes * (features.shape[1] + 1) <= FEW_WEIGHTS
        large = "accelerated" if features.is_cuda else "liblinear"
        solver = "interior" if few else large
    started = time.perf_counter()
    found, start = SOLVERS[solver](problem, gap, time.monotonic() + seconds)
    taken = time.perf_counter() - started
    separable = found.lower > 0
    smallest = float(found.margins.min()) if separable else float("nan")
    layer = problem.layer(found.weights, found.offsets).centred()
    support = (found.alpha > 1e-8 * found.alpha.max()) & separable
    return SvmSolution(
        layer=LastLayer(layer.weights / smallest, layer.biases / smallest) if separable else _zeros(layer),
        variant=variant(bias),
        margin=found.lower * problem.scale if separable else float("nan"),
        upper=found.upper * problem.scale,
        gap=found.gap,
        pairs=torch.stack([found.samples, found.others], 1)[support],
        multipliers=found.alpha[support] / (problem.scale**2 * (smallest if separable else 1.0)),
        separable=separable,
        converged=separable and found.gap <= gap,
        seconds=taken,
        solver=solver,
        C=start.C,
        tol=start.tol,
    )


def _zeros(layer: LastLayer) -> LastLayer:
    return LastLayer(torch.zeros_like(layer.weights), torch.zeros_like(layer.biases))


@SOLVERS.register("interior")
def _interior(problem: Problem, gap: float, deadline: float) -> tuple[Iterate, Start]:
    start = least_squares(problem)
    return solve_interior(problem, start.weights, gap, deadline=deadline), start


@SOLVERS.register("liblinear")
def _liblinear(problem: Problem, gap: float, deadline: float) -> tuple[Iterate, Start]:
    start = growing_crammer_singer(problem, deadline=deadline)
    return _finished(problem, start, gap, deadline), start


@SOLVERS.register("accelerated")
def _accelerated(problem: Problem, gap: float, deadline: float) -> tuple[Iterate, Start]:
    start = Start(accelerated_start(problem))
    return _finished(problem, start, gap, deadline), start


def _finished(problem: Problem, start: Start, gap: float, deadline: float) -> Iterate:
    return solve_active_set(problem, start.weights, start.multipliers, gap, deadline=deadline)
