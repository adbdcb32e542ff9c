"""Is an image perturbed? The boundary's curvature says, beside the logit gap (arXiv 1705.09552).

Near a natural image the boundary bends away from it, and seen from a point just across it bends the other way. Every
statistic here is one number an image, larger where the image looks perturbed; curvatures are therefore those of
F = f_other - f_predicted, in 1 / pixel units of [0, 1].

Second derivatives along random directions are taken of all logits at once. Exact ones are forward over forward (a jvp
of a jvp). At a finite `step` h they are second differences (f(z + h v) + f(z - h v) - 2 f(z)) / h^2, the only ones that
a piecewise linear network has.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import partial

import torch
from torch import Tensor
from torch.func import grad, jvp

from ...core.measuring import Model, logits_of
from ...core.norms import norm as norm_of
from ...core.norms import per_sample, steepest
from ...core.segments import largest_logit
from ..boundary.directions import inner_products, random_directions, random_tangents, tangent
from ..boundary.logit_gap import gap_and_gradient, pair_gap
from ..boundary.points import BoundaryPoints
from ..boundary.smoothness import refuse_kinked, refuse_piecewise_linear

# sums whose terms cancel down to this many units of rounding are 0
ROUNDING = 100


@torch.no_grad()
def second_derivatives(model: Model, z: Tensor, directions: Tensor, step: float | None, batch_size: int) -> Tensor:
    """v^T H_f v of every logit f at N points along T directions of their own: z (N, ...), directions (N, T, ...).

    Args:
        step: None for exact derivatives; h, in pixel units for a v of length 1, for second differences; those that
            are within rounding of 0 are 0.
        batch_size: points that go through the model at a time.

    Returns:
        (N, T, K).

    Raises:
        ValueError: `step` is not positive, or None for a network whose activations have kinks.
    """
    if step is None:
        refuse_kinked(model)
    elif not step > 0:
        raise ValueError(f"step={step}: must be above 0")
    count = directions.shape[1]
    flat, points = directions.flatten(0, 1), z.repeat_interleave(count, 0)
    if step is None:
        pairs = zip(points.split(batch_size), flat.split(batch_size), strict=True)
        found = [_exact(model, at, v) for at, v in pairs]
    else:
        here = logits_of(model, z).repeat_interleave(count, 0)
        triples = zip(points.split(batch_size), flat.split(batch_size), here.split(batch_size), strict=True)
        found = [_difference(model, at, v, value, step) for at, v, value in triples]
    return torch.cat(found).unflatten(0, directions.shape[:2])


def of_pair(second: Tensor, first: Tensor, other: Tensor) -> Tensor:
    """Those of f_first - f_other, (N, T), from those of all logits, (N, T, K)."""
    rows = torch.arange(len(second), device=second.device)
    return second[rows, :, first] - second[rows, :, other]


def check_bends(model: Model, z: Tensor, second: Tensor, own: Tensor, other: Tensor) -> None:
    """Raises where exact second derivatives, (N, T, K), are all 0 although f_own - f_other is not affine.

    Raises:
        PiecewiseLinearError: the model is piecewise linear, in a way that its layers do not show.
    """
    if len(z) and not bool((second != 0).any()):
        refuse_piecewise_linear(model, z, own, other)


def hessian_product(model: Model, z: Tensor, v: Tensor, first: Tensor, other: Tensor) -> Tensor:
    """H_F(z_i) v_i of F = f_first - f_other, one direction a point: z and v (N, ...) -> (N, ...)."""

    def total(y: Tensor) -> Tensor:
        return pair_gap(logits_of(model, y), first, other).sum()

    product: Tensor = jvp(grad(total), (z,), (v,))[1]
    return product.detach()


def rows_at_once(batch_size: int, directions: int) -> int:
    """How many images with their directions make a batch of that many points; one at least.

    Raises:
        ValueError: no directions are asked for.
    """
    if directions < 1:
        raise ValueError(f"directions={directions}: must be at least 1")
    return max(1, batch_size // directions)


def zero_rounding(total: Tensor, scale: Tensor) -> Tensor:
    """`total`, and 0 where it is rounding: a sum of terms whose magnitudes add up to `scale`."""
    return torch.where(total.abs() <= ROUNDING * torch.finfo(total.dtype).eps * scale, 0.0, total)


def _exact(model: Model, z: Tensor, v: Tensor) -> Tensor:
    def slope(y: Tensor) -> Tensor:
        derivative: Tensor = jvp(partial(logits_of, model), (y,), (v,))[1]
        return derivative

    second: Tensor = jvp(slope, (z,), (v,))[1]
    return second


def _difference(model: Model, z: Tensor, v: Tensor, here: Tensor, step: float) -> Tensor:
    ahead, behind = logits_of(model, z + step * v), logits_of(model, z - step * v)
    scale = (largest_logit(ahead) + largest_logit(behind) + 2 * largest_logit(here))[:, None]
    return zero_rounding(ahead + behind - 2 * here, scale) / step**2


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
