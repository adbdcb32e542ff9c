"""The hard-margin K-class SVM: one function that picks a solver by size and certifies what it gives."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from .activeset import solve_active_set
from .bounds import Bounds
from .descent import accelerated_start
from .interior import solve_interior
from .layer import LastLayer, angle_degrees, checked
from .problem import Problem, problem_of, variant
from .starts import Start, growing_crammer_singer, least_squares
from .work import Work

# weights, K (d + 1), up to which the interior point is the faster one, and up to which it takes over what is left
FEW_WEIGHTS, MOST_WEIGHTS = 300, 6000


@dataclass(frozen=True)
class SvmSolution:
    """A last layer that a linear SVM asks for, and what is known about it.

    layer: weights (K, d) and biases (K,), mean row removed, the smallest margin 1 (hard-margin variants); zeros where
        no separating layer was found.
    variant: S1, S2, S3 (hard margin; bias penalised, none, free), or the comparators SVC, OvR, hard OvR, soft S1.
    status: "solved", the gap that was asked for is reached; "not separable", which is said with a proof alone; else
        "unresolved", whether a separating layer is known or not. Comparators have "" here.
    margin: smallest pair margin over all samples / norm, nan without a separating layer; S1 counts the bias into the
        norm.
    upper: a proven bound on the margin of any layer; nan for comparators.
    gap: 1 - margin / upper, hence the angle to the solution is at most arccos(1 - gap).
    pairs: (P, 2), sample and other class of the support pairs; multipliers: (P,), of the solution with margin 1.
    multiplier_angle: degrees between the layer and the sum of multipliers that proves `upper`; 0 at the solution.
    seconds: what it took by the clock; nothing depends on it. work: what it took in 1e9 operations, as counted.
    C, tol: what a library was called with, or nan.
    """

    layer: LastLayer
    variant: str
    status: str
    margin: float
    upper: float
    gap: float
    pairs: Tensor
    multipliers: Tensor
    multiplier_angle: float
    seconds: float
    work: float
    solver: str
    C: float
    tol: float

    @property
    def separable(self) -> bool:
        """Whether the layer separates the samples."""
        return self.margin > 0

    @property
    def converged(self) -> bool:
        """Whether the gap that was asked for is reached."""
        return self.status == "solved"

    @property
    def support_vectors(self) -> Tensor:
        """Samples with a multiplier above 0, (S,), ascending."""
        return self.pairs[:, 0].unique()


def hard_margin_svm(
    features: Tensor,
    labels: Tensor,
    bias: str = "penalised",
    *,
    num_classes: int | None = None,
    solver: str | None = None,
    gap: float = 1e-6,
    max_work: float = math.inf,
    known: Iterable[LastLayer] = (),
) -> SvmSolution:
    """The K-class SVM with all pairwise constraints and no slack.

    Args:
        features: (N, d), finite.
        labels: (N,), integers in 0 .. K - 1, of two classes at least.
        bias: "penalised" (S1, the limit of gradient descent on W and b), "none" (S2) or "free" (S3).
        num_classes: K, by default the largest label + 1. A class without samples keeps its row of W, with the
            constraints of the others' samples against it, as its logit in softmax has (a free bias of it is any that
            is low enough).
        solver: "interior" (few weights), "liblinear" or "accelerated" (on an accelerator); None picks by size. The
            interior point takes over from the others where they stop short.
        gap: 1 - margin / bound at which it stops, in (0, 1). Whatever found the layer, both are recomputed.
        max_work: Operations in 1e9 after which it stops as well, having done what it is in the middle of; for classes
            that may not be separable, where it could go on for long. The result is then the same on every machine.
        known: Layers on these features, such as a network's own. The best of those that separate the samples settles
            that they are separable, and is the solution until a better one is found.

    Returns:
        The solution, in float64, on the features' device.

    Raises:
        ValueError: Shapes or labels that do not fit, numbers that are not finite, a single class, an unknown `bias` or
            `solver`, a `gap` outside (0, 1), `max_work` not above 0.

    Source: Li, Ding, Gao 2018 (arXiv 1808.05385) for S1; Crammer and Singer 2001.
    """
    features, labels, classes = checked(features, labels, num_classes)
    if not 0 < gap < 1:
        raise ValueError(f"gap must be in (0, 1), not {gap}")
    problem, work = problem_of(features, labels, classes, bias), Work(max_work)
    ground = problem_of(features, labels, classes, "free") if bias == "penalised" else problem
    bounds = Bounds(problem, ground)
    for layer in known:
        bounds.offer(problem.of_layer(LastLayer(layer.weights.to(features), layer.biases.to(features))))
    weights_count = classes * (features.shape[1] + 1)
    if solver is None:
        large = "accelerated" if features.is_cuda else "liblinear"
        solver = "interior" if weights_count <= FEW_WEIGHTS else large
    if solver not in SOLVERS:
        raise ValueError(f"solver must be one of {', '.join(SOLVERS)}, not {solver!r}")
    started = time.perf_counter()
    start = _solve(bounds, solver, gap, work)
    if ground is not problem and not (bounds.separable or bounds.refuted or work.over):
        free = Bounds(ground, ground)
        _solve(free, solver, gap, work)
        if free.separable and free.weights is not None:
            bounds.offer(problem.of_layer(ground.layer(free.weights)))
        elif free.refuted and free.proof is not None:
            bounds.refute(*free.proof)
    return _solution(bounds, gap, start, solver, time.perf_counter() - started, work.done)


def _solve(bounds: Bounds, solver: str, gap: float, work: Work) -> Start:
    """By the solver of this name, and by the interior point what that leaves."""
    start = SOLVERS[solver](bounds, gap, work)
    unfinished = bounds.gap > gap and not bounds.refuted and not work.over
    if unfinished and solver != "interior" and start.weights.numel() <= MOST_WEIGHTS:
        solve_interior(bounds, start.weights if bounds.weights is None else bounds.weights, gap, work)
    return start


def _solution(bounds: Bounds, gap: float, start: Start, solver: str, seconds: float, work: float) -> SvmSolution:
    problem, found = bounds.problem, bounds.separable
    assert bounds.weights is not None
    assert bounds.proof is not None
    samples, others, alpha = bounds.proof
    layer = problem.layer(bounds.weights).centred()
    smallest = float(problem.margins(bounds.weights).min())
    support = (alpha > 1e-8 * alpha.max()) & found
    # multipliers that belong to a layer of margin 1 sum to its squared norm
    length = problem.norm(bounds.weights) / (problem.scale * smallest) if found else 1.0
    return SvmSolution(
        layer=LastLayer(layer.weights / smallest, layer.biases / smallest) if found else _zeros(layer),
        variant=variant(problem.bias),
        status="solved" if found and bounds.gap <= gap else "not separable" if bounds.refuted else "unresolved",
        margin=bounds.lower * problem.scale if found else math.nan,
        upper=bounds.upper * problem.scale,
        gap=bounds.gap,
        pairs=torch.stack([samples, others], 1)[support],
        multipliers=alpha[support] * length**2 / max(float(alpha.sum()), 1e-300),
        multiplier_angle=_angle(problem, bounds.weights, problem.weights(samples, others, alpha))
        if found
        else math.nan,
        seconds=seconds,
        work=work,
        solver=solver,
        C=start.C,
        tol=start.tol,
    )


def _angle(problem: Problem, weights: Tensor, summed: Tensor) -> float:
    """Degrees between weights and a sum of z; the sum's last column is penalty times the weights' at the solution."""
    a, b = weights.clone(), summed.clone()
    a[:, -1] *= math.sqrt(problem.penalty)
    b[:, -1] = b[:, -1] / math.sqrt(problem.penalty) if problem.penalty > 0 else 0.0
    return angle_degrees(a, b)


def _zeros(layer: LastLayer) -> LastLayer:
    return LastLayer(torch.zeros_like(layer.weights), torch.zeros_like(layer.biases))


def _interior(bounds: Bounds, gap: float, work: Work) -> Start:
    start = least_squares(bounds.problem)
    solve_interior(bounds, start.weights, gap, work)
    return start


def _liblinear(bounds: Bounds, gap: float, work: Work) -> Start:
    start = growing_crammer_singer(bounds.problem, work)
    solve_active_set(bounds, start.weights, start.multipliers, gap, work)
    return start


def _accelerated(bounds: Bounds, gap: float, work: Work) -> Start:
    start = Start(accelerated_start(bounds.problem, work))
    solve_active_set(bounds, start.weights, None, gap, work)
    return start


# name -> solver of the problem in its bounds, to a relative gap, with so much work
SOLVERS: dict[str, Callable[[Bounds, float, Work], Start]] = {
    "interior": _interior,
    "liblinear": _liblinear,
    "accelerated": _accelerated,
}
