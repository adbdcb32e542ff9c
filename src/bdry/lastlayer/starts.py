"""Where the working set comes from: weights (K, D) of the scaled problem that are near to the solution."""

from __future__ import annotations

import math
import time
import warnings
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from .problem import FREE_CONSTANT, Problem

# samples of the first round, at least
FIRST = 3000
# passes of liblinear over the data, and at most where classes may not be separable: it cannot be interrupted
PASSES, PASSES_BY_A_DEADLINE = 2000, 100


@dataclass(frozen=True)
class Start:
    """weights: (K, D). C and tol: what the library was called with, nan where there was none."""

    weights: Tensor
    C: float = float("nan")
    tol: float = float("nan")


def least_squares(problem: Problem) -> Start:
    """Ridge regression on the one-hot labels; works where a class has no samples."""
    targets = one_hot(problem.labels, problem.num_classes).to(problem.x.dtype)
    normal = problem.x.T @ problem.x
    eye = torch.eye(len(normal), dtype=normal.dtype, device=normal.device)
    centred = targets - 1 / problem.num_classes
    weights = torch.linalg.solve(normal + 1e-6 * normal.diagonal().mean() * eye, problem.x.T @ centred)
    return Start(weights.T)


def crammer_singer(
    problem: Problem, C: float = 100.0, tol: float = 1e-4, largest_C: float = 1e6, passes: int = PASSES
) -> Start:
    """liblinear's Crammer-Singer solver through scikit-learn, all classes present.

    C grows tenfold until every margin reaches 1 - 1e-3 (the hard margin's solution) or `largest_C` is passed; where
    `largest_C` is C, it is called once. A free bias is approximated by a large bias feature. The seed of liblinear's
    sample order is fixed.

    Source: li2018 specification, §4.4, C rule and scaling rule.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVC

    biased = problem.bias != "none"
    x = (problem.x[:, :-1] if biased else problem.x).cpu().numpy()
    constant = FREE_CONSTANT if problem.bias == "free" else 1 / problem.scale
    while True:
        machine = LinearSVC(
            multi_class="crammer_singer",
            C=C,
            tol=tol,
            fit_intercept=biased,
            intercept_scaling=constant,
            max_iter=passes,
            random_state=0,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            machine.fit(x, problem.labels.cpu().numpy())
        weights = torch.as_tensor(machine.coef_, dtype=problem.x.dtype)
        if biased:
            intercept = torch.as_tensor(machine.intercept_, dtype=problem.x.dtype)
            weights = torch.cat([weights, intercept[:, None] / constant], 1)
        if len(weights) == 1:
            # for two classes scikit-learn keeps the difference alone
            weights = torch.cat([-weights, weights]) / 2
        weights = weights.to(problem.x.device)
        lowest = problem.margins(weights, torch.zeros_like(weights[:, 0])).min()
        if float(lowest) >= 1 - 1e-3 or largest_C <= C:
            return Start(weights, C, tol)
        C *= 10


def growing_crammer_singer(
    problem: Problem, C: float = 100.0, tol: float = 0.02, rounds: int = 8, deadline: float = torch.inf
) -> Start:
    """`crammer_singer` on a tenth of the samples, `FIRST` at least, and then on those nearest to its boundary.

    A round keeps the samples of low margin and adds the most violated of all; it is roughly solved, for the solution
    is found elsewhere. The data is copied into liblinear's own format, which this keeps small. No round begins when
    time.monotonic() has passed the deadline.
    """
    count = max(FIRST, len(problem.x) // 10)
    every = max(1, len(problem.x) // count)
    chosen = torch.arange(0, len(problem.x), every, device=problem.x.device)
    passes = PASSES if math.isinf(deadline) else PASSES_BY_A_DEADLINE
    for _ in range(rounds):
        part = replace(problem, x=problem.x[chosen], labels=problem.labels[chosen])
        if len(part.labels.unique()) < problem.num_classes:
            # liblinear knows no class without samples
            return least_squares(problem)
        start = crammer_singer(part, C, tol, largest_C=C, passes=passes)
        lowest = problem.margins(start.weights, torch.zeros_like(start.weights[:, 0])).amin(1)
        violated = int((lowest < lowest[chosen].min() - 0.02).sum())
        if violated < 10 or time.monotonic() > deadline:
            break
        kept = chosen[lowest[chosen] < 1.1]
        chosen = torch.cat([kept, lowest.topk(min(count // 2, violated), largest=False).indices]).unique()
    return start
