"""SVMs that are not the limit of training: those that the paper compared with, hard one-vs-rest, the soft margin.

Source: the code of Li, Ding, Gao 2018 (arXiv 1808.05385); see docs/papers/li2018.md.
"""

from __future__ import annotations

import time
import warnings

import numpy as np
import torch
from torch import Tensor

from .layer import LastLayer, checked, pair_margins
from .problem import plain_problem
from .starts import fitted
from .svm import SvmSolution, hard_margin_svm

# liblinear's passes over the data: where nothing separates them it would go on for long
SOFT_PASSES, SOFT_TOL = 300, 1e-4


def paper_comparator(features: Tensor, labels: Tensor, num_classes: int | None = None) -> SvmSolution:
    """The authors' calls with C = 1 on features as they are: `SVC` for two classes, one-vs-rest `LinearSVC` for more.

    (N, d) features and (N,) labels, on any device. `variant` is "SVC" or "OvR"; margins are of pairs, as the K-class
    SVM has them, hence may be negative; `upper` and `gap` are nan. Only SVC names its support pairs. A class without
    samples gets the row that one-vs-rest gives it: no weights, bias -1.

    Args:
        features: (N, d), finite, on any device.
        labels: (N,) int64, of two classes at least.
        num_classes: K; None: the largest label and one.

    Raises:
        ValueError: as `hard_margin_svm`.
    """
    features, labels, classes = checked(features, labels, num_classes)
    started = time.perf_counter()
    make = _support_vector_classifier if classes == 2 else _one_vs_rest
    variant, layer, pairs, multipliers, tol = make(features, labels, classes)
    layer = layer.centred()
    solver = "libsvm" if variant == "SVC" else "liblinear"
    taken = time.perf_counter() - started
    return _labelled(layer, variant, features, labels, pairs, multipliers, taken, solver, 1.0, tol)


def hard_one_vs_rest(
    features: Tensor,
    labels: Tensor,
    bias: str = "penalised",
    num_classes: int | None = None,
    max_work: float = torch.inf,
) -> SvmSolution:
    """One hard-margin binary SVM for each class against the others, variant "hard OvR"; for each `max_work` at most.

    Where a class is not separable from the others, or has no samples, the layer is zeros and `separable` is false.

    Args:
        features: (N, d), finite.
        labels: (N,) int64, of two classes at least.
        bias: "penalised": the norm counts the biases as well; "free": it does not; "none": there are none.
        num_classes: K; None: the largest label and one.
        max_work: operations in 1e9 that the solver may count for each class.
    """
    features, labels, classes = checked(features, labels, num_classes)
    started = time.perf_counter()
    rows = torch.zeros(classes, features.shape[1] + 1, dtype=features.dtype, device=features.device)
    status = "comparator"
    for label in range(classes):
        mine = labels == label
        binary = None
        if bool(mine.any()):
            binary = hard_margin_svm(features, mine.long(), bias, num_classes=2, max_work=max_work)
        if binary is None or not binary.separable:
            rows.zero_()
            status = "not separable" if binary is None else binary.status
            break
        if not binary.converged:
            status = "unresolved"
        joint = binary.layer.joint()
        # y (<v, x> + b) >= 1 has half the pair margin of rows +-(v, b)
        rows[label] = joint[1] - joint[0]
    layer = LastLayer(rows[:, :-1], rows[:, -1]).centred()
    taken = time.perf_counter() - started
    solver = "one binary SVM a class"
    return _labelled(layer, "hard OvR", features, labels, None, None, taken, solver, torch.nan, torch.nan, status)


def soft_margin_svm(features: Tensor, labels: Tensor, num_classes: int | None = None, C: float = 1.0) -> SvmSolution:
    """The K-class SVM of penalised bias with a slack for each sample, `C` times their sum: for what nothing separates.

    (N, d) features and (N,) labels. `variant` is "soft S1", `converged` always false, `upper` and `gap` are nan; `C` is
    meant for features over their rms norm. Where a class has no samples, which Crammer and Singer's machine does not
    know, the layer is zeros.

    Args:
        features: (N, d), finite, over their rms norm.
        labels: (N,) int64, of two classes at least.
        num_classes: K; None: the largest label and one.
        C: weight of the slacks, above 0.

    Raises:
        ValueError: as `hard_margin_svm`.
    """
    features, labels, classes = checked(features, labels, num_classes)
    problem = plain_problem(features, labels, classes, "penalised")
    weights, tol = torch.zeros(classes, features.shape[1] + 1, dtype=features.dtype, device=features.device), torch.nan
    started = time.perf_counter()
    if len(labels.unique()) == classes:
        tol = SOFT_TOL
        weights, _ = fitted(problem.x, labels, C, tol, SOFT_PASSES)
    # the bias feature is 1 in the units of the features themselves
    layer = LastLayer(weights[:, :-1] / problem.scale, weights[:, -1] / problem.scale).centred()
    taken = time.perf_counter() - started
    return _labelled(layer, "soft S1", features, labels, None, None, taken, "liblinear", C, tol)


def _labelled(
    layer: LastLayer,
    variant: str,
    features: Tensor,
    labels: Tensor,
    pairs: Tensor | None,
    multipliers: Tensor | None,
    seconds: float,
    solver: str,
    C: float,
    tol: float,
    status: str = "comparator",
) -> SvmSolution:
    nan = float("nan")
    norm = float((layer.weights if variant == "SVC" else layer.joint()).norm())
    lowest = float(pair_margins(layer.logits(features), labels).min())
    return SvmSolution(
        layer=layer,
        variant=variant,
        status=status,
        margin=lowest / norm if norm > 0 else nan,
        upper=nan,
        gap=nan,
        pairs=labels.new_zeros(0, 2) if pairs is None else pairs,
        multipliers=features.new_zeros(0) if multipliers is None else multipliers,
        multiplier_angle=nan,
        seconds=seconds,
        work=nan,
        solver=solver,
        C=C,
        tol=tol,
    )


Fitted = tuple[str, LastLayer, Tensor | None, Tensor | None, float]


def _support_vector_classifier(features: Tensor, labels: Tensor, classes: int) -> Fitted:
    from sklearn.svm import SVC

    machine = SVC(kernel="linear", C=1.0).fit(features.cpu().numpy(), labels.cpu().numpy())
    weights = torch.tensor(machine.coef_, dtype=features.dtype, device=features.device)
    bias = torch.tensor(machine.intercept_, dtype=features.dtype, device=features.device)
    samples = torch.tensor(machine.support_, dtype=torch.int64, device=features.device)
    multipliers = torch.as_tensor(np.abs(machine.dual_coef_[0]), dtype=features.dtype, device=features.device)
    layer = LastLayer(torch.cat([-weights, weights]) / 2, torch.cat([-bias, bias]) / 2)
    return "SVC", layer, torch.stack([samples, 1 - labels[samples]], 1), multipliers, machine.tol


def _one_vs_rest(features: Tensor, labels: Tensor, classes: int) -> Fitted:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVC

    machine = LinearSVC(multi_class="ovr", random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        machine.fit(features.cpu().numpy(), labels.cpu().numpy())
    weights = torch.zeros(classes, features.shape[1], dtype=features.dtype, device=features.device)
    biases = torch.full_like(weights[:, 0], -1.0)
    found = torch.tensor(machine.coef_, dtype=features.dtype, device=features.device)
    intercept = torch.tensor(machine.intercept_, dtype=features.dtype, device=features.device)
    if len(found) == 1:
        # two of more classes have samples: scikit-learn keeps one machine
        found, intercept = torch.cat([-found, found]), torch.cat([-intercept, intercept])
    present = torch.as_tensor(machine.classes_, device=features.device)
    weights[present], biases[present] = found, intercept
    return "OvR", LastLayer(weights, biases), None, None, machine.tol
