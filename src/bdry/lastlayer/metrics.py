"""A network's last layer against the SVMs on its features: the columns of `svm_convergence` and `svm_rate_fit`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .descent import log_loss_and_gradient
from .layer import LastLayer, angle_degrees, checked, log_sample_losses, pair_margins
from .problem import plain_problem
from .quadratic import nonnegative_qp
from .svm import SvmSolution

# pairs with margins up to 1 + this times the smallest may carry multipliers in the KKT residual
KKT_BAND = 0.05
# of them no more than this, the lowest: the residual is then an upper bound
KKT_PAIRS = 2000
# rounding that cos(angle) >= margin ratio is allowed
ROUNDING = 1e-6


@dataclass(frozen=True)
class Views:
    """Features of whole splits in evaluation mode, (N, d), and labels, (N,); without test or grid columns are nan."""

    features: Tensor
    labels: Tensor
    test_features: Tensor | None = None
    test_labels: Tensor | None = None
    grid: Tensor | None = None


def convergence_rows(layer: LastLayer, solutions: Iterable[SvmSolution], views: Views) -> list[dict[str, Any]]:
    """One row for each SVM; what concerns the layer alone is computed once and repeated.

    A variant compares the parameters that it has: S2 takes the layer without its biases, and the margin of S3 and SVC
    is over the norm of W alone. Where a hard margin does not exist every comparison is nan, where a soft one does not
    separate the samples the margin ratio is.

    Args:
        layer: of d features and K classes.
        solutions: the SVMs of the same features.
        views: the samples and further points on which layer and SVMs are compared.

    Raises:
        ValueError: shapes or labels that do not fit.
        AssertionError: cos(angle) below the margin ratio, which no correct solution allows (S1, S2; S3 by W's angle).

    Source: docs/papers/li2018.md.
    """
    features, labels, _ = checked(views.features, views.labels, len(layer.weights))
    solutions = list(solutions)
    limit = next((solution for solution in solutions if solution.variant == "S1"), None)
    own = layer_columns(layer, features, labels)
    if views.test_features is not None and views.test_labels is not None:
        own["test_acc"] = _share(layer.predict(views.test_features) == views.test_labels)
    else:
        own["test_acc"] = math.nan
    return [
        own | _solver_columns(s, features, labels) | angles_to_limit(s, limit) | compare(layer, s, views)
        for s in solutions
    ]


def angles_to_limit(solution: SvmSolution, limit: SvmSolution | None) -> dict[str, float]:
    """How far an SVM is from S1, whatever the network: degrees between the centred [W b], and between W alone.

    Where a comparator is near S1 a network's angles cannot tell them apart. nan without S1 or a separating layer.
    """
    joint = weights = math.nan
    if limit is not None:
        joint = angle_degrees(solution.layer.joint(), limit.layer.joint())
        weights = angle_degrees(solution.layer.weights, limit.layer.weights)
    return {"svm_to_s1_full_deg": joint, "svm_to_s1_w_deg": weights}


def layer_columns(layer: LastLayer, features: Tensor, labels: Tensor) -> dict[str, float]:
    """Losses, accuracy and norms of a layer on (N, d) features, and the shape of the features themselves.

    w_norm_centred is of the centred [W b], bias_norm of the centred b, gauge_norm of the mean row taken out.
    log_n_times_loss stays finite where n_times_loss underflows; smoothed_margin is nan until n_times_loss < ln 2.
    """
    features = features.double()
    centred = layer.centred()
    logits = layer.logits(features)
    log_total = float(log_sample_losses(pair_margins(logits, labels)).logsumexp(0))
    norm = float(centred.joint().norm())
    total = math.exp(log_total) if log_total < 700 else math.inf
    # -log(e^L - 1) is -log L to rounding where L is tiny
    smoothed = -log_total if log_total < -36 else -math.log(math.expm1(total)) if total < math.log(2) else math.nan
    return {
        "train_loss_mean": total / len(features),
        "n_times_loss": total,
        "log_n_times_loss": log_total,
        "train_acc": _share(logits.argmax(1) == labels),
        "w_norm_centred": norm,
        "bias_norm": float(centred.biases.norm()),
        "gauge_norm": float(layer.joint().mean(0).norm()),
        "smoothed_margin": smoothed / norm if norm > 0 else math.nan,
        "feature_rms": float(features.square().sum(1).mean().sqrt()),
        "nc1_within_between": within_between(features, labels),
    }


def within_between(features: Tensor, labels: Tensor) -> float:
    """Trace of the features' within-class scatter over the between-class scatter; 0 where classes have collapsed."""
    mean = features.mean(0)
    within = between = 0.0
    for label in labels.unique().tolist():
        part = features[labels == label]
        centre = part.mean(0)
        within += float((part - centre).square().sum())
        between += len(part) * float((centre - mean).square().sum())
    return within / between if between > 0 else math.nan


def compare(layer: LastLayer, solution: SvmSolution, views: Views) -> dict[str, Any]:
    """Angles, margins, agreement, overlaps and KKT residuals of `layer` against one SVM; see `convergence_rows`."""
    features, labels = views.features.double(), views.labels.long()
    ours, theirs = _restricted(layer, solution).centred(), solution.layer
    logits = ours.logits(features)
    margins = pair_margins(logits, labels)
    length = _norm(ours, solution)
    margin = float(margins.min()) / length if length > 0 else math.nan
    # a hard margin that does not exist has a layer of zeros
    exists = bool(theirs.joint().any())
    full, of_w = angle_degrees(ours.joint(), theirs.joint()), angle_degrees(ours.weights, theirs.weights)
    median, largest = pair_angles(ours, theirs)
    # what does not separate the samples itself has no margin to take a share of
    ratio = margin / solution.margin if solution.margin > 0 else math.nan
    views_of = {"train": features, "test": views.test_features, "grid": views.grid}
    agreement = {
        f"agree_{name}": _share(layer.predict(x) == theirs.predict(x)) if exists and x is not None else math.nan
        for name, x in views_of.items()
    }
    row: dict[str, Any] = {
        "angle_full_deg": full,
        "angle_w_deg": of_w,
        "pair_angle_median_deg": median,
        "pair_angle_max_deg": largest,
        "margin_nn": margin,
        "margin_svm": solution.margin,
        "margin_ratio": ratio,
        "cos_ge_ratio": _cos_at_least_ratio(solution, of_w if solution.variant == "S3" else full, ratio),
        "grad_alignment": _gradient_alignment(ours, solution, features, labels),
        "kkt_residual": kkt_residual(ours, _bias_of(solution), features, labels, margins),
    }
    return row | agreement | overlaps(solution, margins)


def pair_angles(a: LastLayer, b: LastLayer) -> tuple[float, float]:
    """Median and maximum over class pairs of the angle between w_i - w_j of both layers, degrees: W alone."""
    classes = len(a.weights)
    found = [
        angle_degrees(a.weights[i] - a.weights[j], b.weights[i] - b.weights[j])
        for i in range(classes)
        for j in range(i + 1, classes)
    ]
    known = torch.tensor([angle for angle in found if not math.isnan(angle)], dtype=torch.float64)
    return (float(known.quantile(0.5)), float(known.max())) if len(known) else (math.nan, math.nan)


def overlaps(solution: SvmSolution, margins: Tensor) -> dict[str, float]:
    """Jaccard indices of the support with as many samples of lowest margin and of highest loss, and of pairs."""
    support, pairs = solution.support_vectors, solution.pairs
    if len(pairs) == 0:
        return {"jaccard_margin": math.nan, "jaccard_loss": math.nan, "jaccard_pairs": math.nan}
    by_margin = margins.amin(1).topk(len(support), largest=False).indices
    by_loss = log_sample_losses(margins).topk(len(support)).indices
    lowest = margins.flatten().topk(len(pairs), largest=False).indices
    numbers = pairs[:, 0] * margins.shape[1] + pairs[:, 1]
    return {
        "jaccard_margin": _jaccard(support, by_margin),
        "jaccard_loss": _jaccard(support, by_loss),
        "jaccard_pairs": _jaccard(numbers, lowest),
    }


def kkt_residual(layer: LastLayer, bias: str, features: Tensor, labels: Tensor, margins: Tensor) -> float:
    """min over alpha >= 0 of ||W - sum alpha z|| / ||W||, alpha on the pairs within 5 % of the smallest margin.

    `layer` is centred. 0 at a KKT point; nan where the layer does not separate the classes.

    Source: the (epsilon, delta)-KKT points of Lyu and Li 2020.
    """
    smallest = margins.min()
    if not float(smallest) > 0:
        return math.nan
    problem = plain_problem(features, labels, margins.shape[1], bias)
    count = min(int((margins <= (1 + KKT_BAND) * smallest).sum()), KKT_PAIRS)
    place = margins.flatten().topk(count, largest=False).indices
    samples, others = place // margins.shape[1], place % margins.shape[1]
    weights = layer.weights * problem.scale
    if bias != "none":
        # a free bias asks for multipliers that cancel out: what is left of them counts as residual
        column = layer.biases * problem.scale if bias == "penalised" else torch.zeros_like(layer.biases)
        weights = torch.cat([weights, column[:, None]], 1)
    weights = weights / weights.norm()
    wanted = (problem.signs(samples, others) * (problem.x[samples] @ weights.T)).sum(1)
    alpha = nonnegative_qp(problem.gram(samples, others), wanted, torch.zeros_like(wanted))
    return float((weights - problem.weights(samples, others, alpha)).norm())


def _restricted(layer: LastLayer, solution: SvmSolution) -> LastLayer:
    return LastLayer(layer.weights, torch.zeros_like(layer.biases)) if solution.variant == "S2" else layer


def _bias_of(solution: SvmSolution) -> str:
    return {"S2": "none", "S3": "free", "SVC": "free"}.get(solution.variant, "penalised")


def _norm(layer: LastLayer, solution: SvmSolution) -> float:
    return float((layer.weights if _bias_of(solution) == "free" else layer.joint()).norm())


def _cos_at_least_ratio(solution: SvmSolution, angle: float, ratio: float) -> bool:
    """cos >= ratio (1 - gap) up to rounding: must hold for the sum of a hard margin's multipliers.

    The layer may be turned away from that sum by `multiplier_angle`; at a solution it is not.
    """
    if math.isnan(angle) or math.isnan(ratio):
        return False
    cosine = math.cos(math.radians(angle))
    if solution.variant in ("S1", "S2", "S3"):
        room = math.acos(max(-1.0, min(1.0, ratio * (1 - solution.gap)))) + math.radians(solution.multiplier_angle)
        bound = math.cos(min(room, math.pi)) - ROUNDING
        if cosine < bound:
            raise AssertionError(f"{solution.variant}: cos(angle) = {cosine} is below the margin ratio {ratio}")
        return True
    return cosine >= ratio


def _gradient_alignment(layer: LastLayer, solution: SvmSolution, features: Tensor, labels: Tensor) -> float:
    x, weights = features, layer.weights
    if _bias_of(solution) != "none":
        x, weights = torch.cat([features, torch.ones_like(features[:, :1])], 1), layer.joint()
    _, gradient = log_loss_and_gradient(x, labels, weights)
    return math.cos(math.radians(angle_degrees(weights, -gradient)))


def _solver_columns(solution: SvmSolution, features: Tensor, labels: Tensor) -> dict[str, Any]:
    lowest = pair_margins(solution.layer.logits(features), labels).min()
    return {
        "variant": solution.variant,
        "solver": solution.solver,
        "C": solution.C,
        "tol": solution.tol,
        "separable": solution.separable,
        "status": solution.status,
        "svm_min_margin": float(lowest),
        "svm_gap": solution.gap,
        "svm_work": solution.work,
        "n_sv": len(solution.support_vectors),
        "n_sv_pairs": len(solution.pairs),
    }


def _share(found: Tensor) -> float:
    return float(found.double().mean())


def _jaccard(a: Tensor, b: Tensor) -> float:
    one, two = set(a.tolist()), set(b.tolist())
    return len(one & two) / len(one | two)


def grid_points(features: Tensor, labels: Tensor, generator: torch.Generator, count: int = 30000) -> Tensor:
    """(`count`, d) points at which a layer and an SVM are asked for the same label, drawn on the CPU.

    Two features: uniform in the features' box enlarged by a tenth. More: half on segments between samples of
    different class, half on the plane through the means of three classes (two where there are no more), in the box of
    the samples' coordinates on it.

    Args:
        features: (N, d).
        labels: (N,) int64.
        generator: a generator of the CPU.
        count: points.

    Source: docs/papers/li2018.md.
    """
    features, device = features.detach().double().cpu(), features.device
    labels = labels.cpu()
    if features.shape[1] == 2:
        return _in_box(features, count, generator).to(device)
    first, second = (torch.randint(len(features), (4 * count,), generator=generator) for _ in range(2))
    different = (labels[first] != labels[second]).nonzero()[: count // 2, 0]
    share = torch.rand(len(different), 1, dtype=torch.float64, generator=generator)
    segments = share * features[first[different]] + (1 - share) * features[second[different]]
    means = torch.stack([features[labels == label].mean(0) for label in labels.unique()[:3].tolist()])
    axes = torch.linalg.qr((means[1:] - means[0]).T).Q
    plane = means[0] + _in_box((features - means[0]) @ axes, count - len(segments), generator) @ axes.T
    return torch.cat([segments, plane]).to(device)


def _in_box(points: Tensor, count: int, generator: torch.Generator) -> Tensor:
    low, high = points.amin(0), points.amax(0)
    share = 1.1 * torch.rand(count, points.shape[1], dtype=torch.float64, generator=generator) - 0.05
    return low + share * (high - low)


def rate_fit(
    steps: Sequence[int], norms: Sequence[float], angles: Sequence[float], log_losses: Sequence[float]
) -> dict[str, float]:
    """Rates of convergence on frozen features, the columns of `svm_rate_fit`.

    theta = c / ||W||, ||W|| = slope ln t and log loss = slope ln t, by least squares on the later half of the
    checkpoints after step 0.

    Args:
        steps: of each checkpoint.
        norms: of the layer at each.
        angles: to the SVM at each, degrees.
        log_losses: logarithm of the summed loss at each.

    Returns:
        c_theta (degrees x norm, of theta on 1 / norm through the origin) with its r2, norm_per_log_step and
        log_loss_per_log_step (slopes by ln t; the limit's are ||W_svm|| and -1 for plain gradient descent).

    Raises:
        ValueError: fewer than four checkpoints after step 0.

    Source: Soudry et al. 2018 for the rates.
    """
    table = np.array([row for row in zip(steps, norms, angles, log_losses, strict=True) if row[0] > 0], dtype=float)
    if len(table) < 4:
        raise ValueError(f"a rate needs four checkpoints after step 0, there are {len(table)}")
    step, norm, angle, log_loss = table[len(table) // 2 :].T
    c_theta = float((angle / norm).sum() / (1 / norm**2).sum())
    spread = float(((angle - angle.mean()) ** 2).sum())
    left = float(((angle - c_theta / norm) ** 2).sum())
    return {
        "c_theta": c_theta,
        "norm_per_log_step": float(np.polyfit(np.log(step), norm, 1)[0]),
        "log_loss_per_log_step": float(np.polyfit(np.log(step), log_loss, 1)[0]),
        "r2": 1 - left / spread if spread > 0 else float("nan"),
    }
