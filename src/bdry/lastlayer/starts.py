"""Where the working set comes from: weights and multipliers of the scaled problem that are near to the solution."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from .problem import Problem
from .work import Work

# samples of the first round, at least
FIRST = 3000
# tolerance of the rounds that only look for the samples that matter; of these so many may be left out in the last one
ROUGH, FEW = 0.1, 10
# size of the features that bring liblinear's multipliers out
TRACE = 1e-4
# passes of liblinear over the data, and at most where classes may not be separable: it cannot be interrupted
PASSES, PASSES_IF_BOUNDED = 2000, 100


@dataclass(frozen=True)
class Start:
    """weights: (K, D). C and tol: what the library was called with, nan where there was none.

    multipliers: (N, K) of all pairs, >= 0, whose sum of z the weights are; None where the method has none.
    """

    weights: Tensor
    multipliers: Tensor | None = None
    C: float = float("nan")
    tol: float = float("nan")


def least_squares(problem: Problem) -> Start:
    """Ridge regression on the one-hot labels; works where a class has no samples."""
    targets = one_hot(problem.labels, problem.num_classes).to(problem.x.dtype)
    normal = problem.x.T @ problem.x
    eye = torch.eye(len(normal), dtype=normal.dtype, device=normal.device)
    centred = targets - 1 / problem.num_classes
    ridge = 1e-6 * (float(normal.diagonal().mean()) or 1.0)
    weights = torch.linalg.solve(normal + ridge * eye, problem.x.T @ centred)
    return Start(weights.T)


def fitted(
    x: Tensor, labels: Tensor, C: float, tol: float, passes: int, work: Work | None = None
) -> tuple[Tensor, Tensor]:
    """Weights (K, D) and multipliers (N, K) of one call on (N, D) rows and (N,) labels, all K classes present.

    The seed of liblinear's sample order is fixed. The library keeps the multipliers to itself. A feature of size
    `TRACE` that one sample alone has gets the weights TRACE alpha of that sample, and changes the problem by TRACE^2.
    """
    from scipy import sparse
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVC

    machine = LinearSVC(
        multi_class="crammer_singer", C=C, tol=tol, fit_intercept=False, max_iter=passes, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        traced = sparse.hstack([sparse.csr_matrix(x.cpu().numpy()), TRACE * sparse.eye(len(x))], format="csr")
        machine.fit(traced, labels.cpu().numpy())
    found = torch.as_tensor(machine.coef_)
    if len(found) == 1:
        # for two classes scikit-learn keeps the difference alone
        found = torch.cat([-found, found]) / 2
    found = found.to(x)
    if work is not None:
        # an inner product and an update of all classes a sample
        work.count(4 * int(machine.n_iter_) * x.numel() * len(found))
    width = x.shape[1]
    # in the library's signs a sample's own class has minus the sum of the others, which are below 0
    multipliers = found[:, width:].T / -TRACE
    # rounding leaves something of what was 0
    return found[:, :width], torch.where(multipliers > 1e-9 * multipliers.max(), multipliers, 0.0)


def growing_crammer_singer(problem: Problem, work: Work, C: float = 100.0, tol: float = 0.02, rounds: int = 8) -> Start:
    """liblinear's Crammer-Singer solver on a tenth of the samples, `FIRST` at least, then on those near its boundary.

    A round keeps the samples of low margin and adds the most violated of all, roughly solved; where few are left, the
    last one is solved to `tol`. The data is copied into liblinear's own format, which this keeps small. No round begins
    when the work is done.
    """
    count = max(FIRST, len(problem.x) // 10)
    every = max(1, len(problem.x) // count)
    passes = PASSES_IF_BOUNDED if work.bounded else PASSES
    rows, last = torch.arange(0, len(problem.x), every, device=problem.x.device), False
    if len(problem.labels[rows].unique()) < problem.num_classes:
        # liblinear knows no class without samples
        return least_squares(problem)
    for number in range(rounds):
        each = tol if last else ROUGH
        weights, found = fitted(problem.x[rows], problem.labels[rows], C, each, passes, work)
        if last or work.over:
            break
        lowest = problem.margins(weights).amin(1)
        violated = int((lowest < lowest[rows].min() - 0.02).sum())
        last = violated < FEW or number == rounds - 2
        kept = rows[lowest[rows] < 1.1]
        following = torch.cat([kept, lowest.topk(min(count // 2, violated), largest=False).indices]).unique()
        if len(problem.labels[following].unique()) < problem.num_classes:
            break
        rows = following
    multipliers = problem.x.new_zeros(len(problem.x), problem.num_classes)
    multipliers[rows] = found
    return Start(weights, multipliers, C, each)
