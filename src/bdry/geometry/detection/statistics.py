"""Is an image perturbed? The boundary's curvature says, beside the logit gap (arXiv 1705.09552).

Near a natural image the boundary bends away from it, and seen from a point just across it bends the other way. Every
statistic here is one number an image, larger where the image looks perturbed; curvatures are therefore those of
F = f_other - f_predicted, in 1 / pixel units of [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from ...core.measuring import Model, logits_of
from ...core.norms import norm as norm_of
from ...core.norms import per_sample, steepest
from ..boundary.directions import inner_products, random_directions, random_tangents, tangent
from ..boundary.logit_gap import gap_and_gradient
from ..boundary.points import BoundaryPoints
from .second_derivatives import (
    check_bends,
    hessian_product,
    of_pair,
    rows_at_once,
    second_derivatives,
    zero_rounding,
)


@dataclass(frozen=True)
class DetectionScores:
    """What one statistic says of N images, one row each.

    score: (N,), larger where the image looks perturbed; nan where it failed.
    error: (N,), standard error of the score over the directions drawn; nan with fewer than two.
    recovered: (N,) int64, the class that the image had before it was perturbed, if it was; -1 where there is none.
    predicted, runner_up: (N,) int64, the classes of the two largest logits; logit_gap: (N,), their difference.
    flat: (N,) bool, every second derivative was 0 to rounding, and so is the score: as in a linear network.
    success: (N,) bool.
    forwards, backwards: (N,) int64; an exact second derivative along a direction counts as one
        forward pass, a Hessian-vector product as one of each.
    """

    statistic: str
    score: Tensor
    error: Tensor
    recovered: Tensor
    predicted: Tensor
    runner_up: Tensor
    logit_gap: Tensor
    flat: Tensor
    success: Tensor
    forwards: Tensor
    backwards: Tensor


def perturb(x: Tensor, point: Tensor, alpha: float, overshoot: float = 0.02) -> Tensor:
    """x + alpha (1 + overshoot) r, with r = point - x the smallest perturbation; nan where there is no point.

    alpha = 1 is where DeepFool stops; the study takes 1, 2 and 5. Unclipped, as in the paper.

    Args:
        x: (N, C, H, W).
        point: (N, C, H, W), the nearest boundary points; nan where there is none.
        alpha: how many times as long as the smallest perturbation.
        overshoot: the perturbation is longer by this share.
    """
    return x + alpha * (1 + overshoot) * (point - x)


def logit_gap_scores(model: Model, x: Tensor) -> DetectionScores:
    """The baseline: score -(largest - second largest logit); recovered is the runner-up.

    Args:
        model: images (N, ...) in [0, 1] to logits (N, K).
        x: (N, C, H, W).
    """
    with torch.no_grad():
        logits = logits_of(model, x)
    runner_up = _others(logits, 1)
    behind = logits.gather(1, runner_up) - logits.amax(1, keepdim=True)
    scores = _scores("logit_gap", logits, behind, runner_up[:, 0], forwards=1, backwards=0)
    return replace(scores, flat=torch.zeros_like(scores.flat))


def sample_curvature(
    model: Model,
    x: Tensor,
    *,
    rng: torch.Generator,
    directions: int = 50,
    step: float | None = None,
    candidates: int | None = None,
    batch_size: int = 1024,
) -> DetectionScores:
    """rho(x): the mean of v^T G_i(x) v over random unit v and all classes i but the predicted k, F_i = f_i - f_k.

    G_i = P H_i P / ||grad F_i|| is taken at the image itself, where it is the curvature of the level set through it.
    Recovered is the class with the largest mean; none where all is flat.

    Args:
        model: images (N, ...) in [0, 1] to logits (N, K).
        x: (N, C, H, W).
        rng: of the directions, of the CPU.
        directions: T, drawn for each image.
        step: None for exact derivatives; else h in pixel units (see `second_derivatives`).
        candidates: only this many classes, those of the largest logits; None: all.
        batch_size: points that go through the model at a time.

    Raises:
        ValueError: a single logit, or exact derivatives of a piecewise linear network.

    Reference: arXiv 1705.09552, section 5, as recalled (docs/papers/fawzi2017.md).
    Differs: exact derivatives cost T + 2 L passes, not T L: v^T P H P v is expanded, v^T H v comes for all logits at
    once, and H n once a class.
    """
    parts = []
    for images in x.split(rows_at_once(batch_size, directions)):
        with torch.no_grad():
            logits = logits_of(model, images)
        own, others = logits.argmax(1), _others(logits, candidates)
        v = random_directions(images, directions, rng)
        classes = list(others.unbind(1))
        if step is None:
            forms = _exact_forms(model, images, v, classes, own, batch_size)
            forwards, backwards = 1 + directions + 2 * len(classes), 2 * len(classes)
        else:
            forms = _difference_forms(model, images, v, classes, own, step, batch_size)
            forwards, backwards = 1 + len(classes) * (2 + 2 * directions), len(classes)
        best = forms.mean(2).nan_to_num(-torch.inf).argmax(1)
        recovered = others.gather(1, best[:, None])[:, 0]
        recovered = torch.where((forms == 0).flatten(1).all(1), -1, recovered)
        parts.append(
            _scores("sample_curvature", logits, forms.mean(1), recovered, forwards=forwards, backwards=backwards)
        )
    return _joined(parts)


def boundary_curvature(
    model: Model,
    points: BoundaryPoints,
    *,
    rng: torch.Generator,
    directions: int = 50,
    step: float | None = None,
    batch_size: int = 1024,
) -> DetectionScores:
    """Mean curvature of the boundary F = f_other - f_own at each image's boundary point, by random unit tangents.

    Recovered is the class beyond the boundary. An image without a boundary point has no score.

    Args:
        model: images (N, ...) in [0, 1] to logits (N, K).
        points: of the images that are to be judged, from their predicted classes; the family matters.
        rng: of the tangents, of the CPU.
        directions: T, unit tangents drawn for each image.
        step: as in `sample_curvature`.
        batch_size: points that go through the model at a time; the search for the boundary points is not in the
            counts.

    Raises:
        ValueError: as `sample_curvature`.

    Source: the second difference over the tangent plane is ours; the idea is section 5 of arXiv 1705.09552.
    """
    parts = []
    for rows in torch.arange(len(points.start), device=points.start.device).split(rows_at_once(batch_size, directions)):
        part = points.take(rows)
        with torch.no_grad():
            logits = logits_of(model, part.start)
        # rows without a point are carried along at the image, so that no draw depends on what was found
        z = torch.where(per_sample(part.success, part.point), part.point, part.start)
        other = torch.where(part.success, part.other, part.own)
        length = norm_of(part.gradient, "l2")
        v = random_tangents(part.gradient, directions, rng)
        second = second_derivatives(model, z, v, step, batch_size)
        if step is None:
            check_bends(model, z[part.success], second[part.success], part.own[part.success], other[part.success])
        forms = of_pair(second, other, part.own) / length[:, None]
        # over a pixel's whole range, 1, such a boundary leaves its tangent plane by less than rounding
        forms = torch.where(forms.abs() <= torch.finfo(forms.dtype).eps, 0.0, forms)
        forms = torch.where(part.success[:, None], forms, torch.nan)
        forwards = 1 + directions if step is None else 2 + 2 * directions
        parts.append(_scores("boundary_curvature", logits, forms, other, forwards=forwards, backwards=0))
    return _joined(parts)


def _exact_forms(model: Model, x: Tensor, v: Tensor, classes: list[Tensor], own: Tensor, batch_size: int) -> Tensor:
    """v^T G_i v for each of the classes, (N, classes, T), by v^T H v - 2 (n.v) n^T H v + (n.v)^2 n^T H n."""
    second = second_derivatives(model, x, v, None, batch_size)
    check_bends(model, x, second, classes[0], own)
    forms = []
    for other in classes:
        gradient = gap_and_gradient(model, x, other, own)[2]
        normal = steepest(gradient, "l2")
        product = hessian_product(model, x, normal, other, own)
        inner, cross = inner_products(v, normal), inner_products(v, product)
        twice_normal = (normal * product).flatten(1).sum(1, keepdim=True)
        plain = of_pair(second, other, own)
        # what is left where these cancel has a sign of its own, that of rounding in v^T H v and <n, v>
        scale = plain.abs() + cross.abs() + inner.abs() * norm_of(product, "l2")[:, None]
        bent = zero_rounding(plain - 2 * inner * cross + inner.square() * twice_normal, scale)
        forms.append(bent / norm_of(gradient, "l2")[:, None])
    return torch.stack(forms, 1)


def _difference_forms(
    model: Model, x: Tensor, v: Tensor, classes: list[Tensor], own: Tensor, step: float, batch_size: int
) -> Tensor:
    """v^T G_i v at the scale `step` for each of the classes, (N, classes, T): second differences along P v."""
    forms = []
    for other in classes:
        gradient = gap_and_gradient(model, x, other, own)[2]
        second = second_derivatives(model, x, tangent(v, steepest(gradient, "l2")), step, batch_size)
        forms.append(of_pair(second, other, own) / norm_of(gradient, "l2")[:, None])
    return torch.stack(forms, 1)


def _others(logits: Tensor, candidates: int | None) -> Tensor:
    """The classes of the largest logits but the predicted one, (N, candidates), the largest first."""
    num_others = logits.shape[1] - 1
    if num_others < 1:
        raise ValueError("detection takes a classifier of two classes or more; this one has a single logit")
    rest = logits.scatter(1, logits.argmax(1, keepdim=True), -torch.inf)
    return rest.topk(num_others if candidates is None else min(candidates, num_others), dim=1).indices


def _scores(
    statistic: str, logits: Tensor, forms: Tensor, recovered: Tensor, *, forwards: int, backwards: int
) -> DetectionScores:
    """The scores of values by direction, `forms` (N, T)."""
    predicted, runner_up = logits.argmax(1), _others(logits, 1)[:, 0]
    count = forms.shape[1]
    spread = forms.std(1) if count > 1 else torch.full_like(forms[:, 0], torch.nan)
    success = forms.isfinite().all(1)
    return DetectionScores(
        statistic,
        score=torch.where(success, forms.mean(1), torch.nan),
        error=torch.where(success, spread / count**0.5, torch.nan),
        recovered=torch.where(success, recovered, -1),
        predicted=predicted,
        runner_up=runner_up,
        logit_gap=(logits.gather(1, predicted[:, None]) - logits.gather(1, runner_up[:, None]))[:, 0],
        flat=(forms == 0).all(1),
        success=success,
        forwards=torch.full_like(predicted, forwards),
        backwards=torch.full_like(predicted, backwards),
    )


def _joined(parts: list[DetectionScores]) -> DetectionScores:
    columns = [field.name for field in fields(DetectionScores) if field.name != "statistic"]
    joined = {name: torch.cat([getattr(part, name) for part in parts]) for name in columns}
    return DetectionScores(parts[0].statistic, **joined)
