"""Points on the boundary between two classes, by four rules that curvature has to be compared under.

A nearest point prefers places where the other class bulges towards the image, so that the sign of the curvature
depends on the rule (docs/papers/fawzi2017.md). A family takes (model, x, rng) and its settings.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import torch
from torch import Tensor

from ...core.measuring import Model, logits_of
from ...core.norms import norm, per_sample, steepest
from ...core.segments import clearly_beyond, first_crossing, gap, rounding
from ...margins import ESTIMATORS, MarginResult, deepfool, unguarded
from ...names import FAMILIES
from .directions import random_directions
from .logit_gap import gap_and_gradient, pair_gap

# a share of the way to the foot below this has nowhere nearer to go
SMALLEST_SHARE = 2.0**-10
# weight of |F| / ||g||, the distance to the boundary, against the distance to the image; above 1 a minimum is exact
PENALTY = 2.0


class Refined(NamedTuple):
    """point, (N, ...), F there, (N,), its gradient, the logits, (N, K), whether |F| is at rounding; gradients paid."""

    point: Tensor
    value: Tensor
    gradient: Tensor
    logits: Tensor
    on_boundary: Tensor
    iterations: Tensor


def to_boundary(model: Model, z: Tensor, own: Tensor, other: Tensor, *, steps: int = 20) -> Refined:
    """Newton's steps along the gradient until F is 0 as far as `tolerance` says; other rows are not on the boundary.

    Args:
        model: points (N, ...) to logits (N, K).
        z: (N, ...), near the boundary.
        own: (N,) int64, the classes on the image's side of the boundary.
        other: (N,) int64, the classes beyond.
        steps: Newton's steps at most.
    """
    z = z.clone()
    logits, value, gradient = gap_and_gradient(model, z, own, other)
    iterations = torch.ones_like(own)
    for _ in range(steps):
        length = norm(gradient, "l2")
        rows = ((value.abs() > tolerance(logits, gradient)) & value.isfinite() & (length > 0)).nonzero()[:, 0]
        if rows.numel() == 0:
            break
        z[rows] -= per_sample(value[rows] / length[rows], z) * steepest(gradient[rows], "l2")
        logits[rows], value[rows], gradient[rows] = gap_and_gradient(model, z[rows], own[rows], other[rows])
        iterations[rows] += 1
    return Refined(z, value, gradient, logits, value.abs() <= tolerance(logits, gradient), iterations)


def to_nearest(model: Model, x: Tensor, z: Tensor, own: Tensor, other: Tensor, *, steps: int = 40) -> Refined:
    """The boundary point nearest to x that foot-point steps from z lead to, then Newton's steps onto the boundary.

    At z, with g the gradient of F, the linearised boundary has a foot below the image x,

        foot(z) = x + [((z - x) . g - F(z)) / ||g||^2] g,

    and a nearest boundary point is its own foot. z moves a share of the way to its foot, again and again.
    A step must lower ||z - x|| + 2 |F| / ||g||, else it is halved and tried again, so that a strongly curved boundary
    does not throw it off. The first goes half of the way; the share of later ones follows from the
    last two feet (Barzilai and Borwein 1988), since the best is 1 / (1 + curvature x distance).

    Args:
        model: points (N, ...) to logits (N, K).
        x: (N, ...).
        z: (N, ...).
        own: (N,).
        other: (N,).
        steps: gradients that a row may take.
    """
    z = z.clone()
    _, value, gradient = gap_and_gradient(model, z, own, other)
    residual, merit = _foot(x, z, value, gradient) - z, _merit(x, z, value, gradient)
    share = torch.full_like(value, 0.5)
    iterations = torch.ones_like(own)
    alive = merit.isfinite().nonzero()[:, 0]
    for _ in range(steps):
        small = torch.finfo(z.dtype).eps ** 0.5 * (z - x)[alive].flatten(1).norm(dim=1)
        going = (residual[alive].flatten(1).norm(dim=1) > small) & (share[alive] >= SMALLEST_SHARE)
        alive = alive[going]
        if alive.numel() == 0:
            break
        step = per_sample(share[alive], z) * residual[alive]
        there = z[alive] + step
        _, value, gradient = gap_and_gradient(model, there, own[alive], other[alive])
        iterations[alive] += 1
        found = _foot(x[alive], there, value, gradient) - there
        height = _merit(x[alive], there, value, gradient)
        lower = height < merit[alive]
        share[alive[~lower]] /= 2
        rows = alive[lower]
        change = (residual[alive] - found).flatten(1)
        curved = (step.flatten(1) * change).sum(1)
        ratio = step.flatten(1).square().sum(1) / curved
        share[rows] = torch.where(curved > 0, ratio, 1.0).clamp(0.1, 2.0)[lower]
        z[rows], residual[rows], merit[rows] = there[lower], found[lower], height[lower]
    refined = to_boundary(model, z, own, other)
    return refined._replace(iterations=refined.iterations + iterations)


def tolerance(logits: Tensor, gradient: Tensor) -> Tensor:
    """|F| at which a point counts as on the boundary, (N,): rounding of the logits, or 1e-10.

    Where F rises by less than 1 in a pixel unit, it is 1e-10 pixel units, and no less than float64's rounding of a
    pixel moves F by: logits may be of any scale.
    """
    length = norm(gradient, "l2")
    by_pixels = torch.maximum(1e-10 * length.clamp_max(1.0), 16 * torch.finfo(torch.float64).eps * length)
    return torch.maximum(4 * rounding(logits), by_pixels)


def _foot(x: Tensor, z: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
    normal = steepest(gradient, "l2")
    along = ((z - x) * normal).flatten(1).sum(1) - value / norm(gradient, "l2")
    return x + per_sample(along, x) * normal


def _merit(x: Tensor, z: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
    return norm(z - x, "l2") + PENALTY * value.abs() / norm(gradient, "l2")


# the cosine of image - point and gradient at which a point counts as nearest
STATIONARY_COSINE = 0.999


@dataclass(frozen=True)
class BoundaryPoints:
    """Points of F = f_own - f_other = 0, one row an image, in pixel units of [0, 1], l2.

    start, point, gradient: (N, ...): the images, the points, grad F there; nan where no boundary was found.
    own, other: (N,) int64: the image's label and the class beyond; `other` is -1 where no boundary was found.
    success: (N,) bool: |F| is below 1e-10, or rounding, at `point`.
    value: (N,), F at `point`.
    found, distance: (N,), from the image, before and after refinement.
    cosine: (N,), of start - point and gradient, 1 at a nearest point; nan where the image lies on the boundary.
    stationary: (N,) bool: the cosine is above 0.999 (first-order condition), or the image lies on the boundary.
    top_two: (N,) bool: no third class is above own and other at `point`: it lies on the classifier's boundary.
    iterations: (N,) int64, gradients spent on refinement.
    """

    family: str
    start: Tensor
    point: Tensor
    gradient: Tensor
    own: Tensor
    other: Tensor
    success: Tensor
    value: Tensor
    found: Tensor
    distance: Tensor
    cosine: Tensor
    stationary: Tensor
    top_two: Tensor
    iterations: Tensor

    @property
    def normal(self) -> Tensor:
        """grad F / ||grad F||, (N, ...), towards the side of `own`."""
        return steepest(self.gradient, "l2")

    def take(self, rows: Tensor) -> BoundaryPoints:
        """The rows of a mask or of indices, such as `points.take(points.success)`."""
        parts = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "family"}
        return BoundaryPoints(self.family, **{name: part[rows] for name, part in parts.items()})

    def single(self) -> BoundaryPoints:
        """The same in float32."""
        parts = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "family"}
        narrow = {name: part.float() if part.is_floating_point() else part for name, part in parts.items()}
        return BoundaryPoints(self.family, **narrow)


@FAMILIES.register("nearest_refined")
def nearest_refined(
    model: Model, x: Tensor, rng: torch.Generator, *, estimator: str = "walk", steps: int = 40
) -> BoundaryPoints:
    """The point nearest to each image: a margin estimator's, refined by foot-point and Newton's steps.

    Args:
        model: images (N, ...) in [0, 1] to logits (N, K).
        x: (N, C, H, W) in [0, 1]; x and model share a dtype, float64 for |F| below 1e-10.
        rng: not drawn from.
        estimator: whose point is refined.
        steps: foot-point steps at most.
    """
    x = x.detach()
    own, rows, other, point = _estimated(model, x, unguarded(ESTIMATORS[estimator])(model, x, norm="l2"))
    refined = to_nearest(model, x[rows], point, own[rows], other, steps=steps)
    return _collect("nearest_refined", x, own, rows, other, point, refined)


@FAMILIES.register("deepfool_end")
def deepfool_end(model: Model, x: Tensor, rng: torch.Generator, *, overshoot: float = 0.02) -> BoundaryPoints:
    """Where the segment from the image to DeepFool's end point crosses; its foot is not looked for.

    Args:
        model: images (N, ...) in [0, 1] to logits (N, K).
        x: (N, C, H, W) in [0, 1].
        rng: not drawn from.
        overshoot: DeepFool's: its steps together are lengthened by this share.
    """
    x = x.detach()
    margin = unguarded(deepfool)(model, x, norm="l2", overshoot=overshoot, candidates=None)
    own, rows, other, point = _estimated(model, x, margin)
    return _collect("deepfool_end", x, own, rows, other, point, to_boundary(model, point, own[rows], other))


def short_of_boundary(
    model: Model, x: Tensor, rng: torch.Generator, *, share: float = 0.8, overshoot: float = 0.05
) -> BoundaryPoints:
    """The points z = x + share r of DeepFool's perturbations r: before the boundary, on a level set of F.

    `value` is F there, `success` that r was found. It is none of `FAMILIES`: heights over the tangent plane of a point
    that is not on the boundary mean nothing, curvatures from derivatives are those of the level set.

    Args:
        model: images -> logits.
        x: (N, C, H, W) in [0, 1].
        rng: not drawn from.
        share: of the perturbation that is gone.
        overshoot: of DeepFool, a share of its perturbation; r ends at the boundary all the same.

    Source: the code of Jetley, Lord and Torr 2018 (NeurIPS), a port of the authors': share 0.8, overshoot 0.05.
    Differs: DeepFool towards the nearest class, where the port has one fixed target class.
    """
    end = deepfool_end(model, x, rng, overshoot=overshoot)
    z = torch.lerp(x, end.point, share)
    gradient, value = torch.full_like(z, torch.nan), torch.full_like(end.value, torch.nan)
    rows = end.success.nonzero()[:, 0]
    _, value[rows], gradient[rows] = gap_and_gradient(model, z[rows], end.own[rows], end.other[rows])
    return replace(
        end,
        family="short_of_boundary",
        point=z,
        gradient=gradient,
        value=value,
        distance=share * end.distance,
        stationary=torch.zeros_like(end.success),
    )


@FAMILIES.register("nat_segment")
def nat_segment(model: Model, x: Tensor, rng: torch.Generator) -> BoundaryPoints:
    """A crossing on the segment from each image to another of the batch with another predicted label.

    The partner is drawn uniformly; a batch with one predicted label has no segments.

    Args:
        model: images (N, ...) in [0, 1] to logits (N, K).
        x: (N, C, H, W) in [0, 1].
        rng: of the partners, of the CPU.
    """
    x = x.detach()
    with torch.no_grad():
        label = logits_of(model, x).argmax(1)
    keys = torch.rand(len(x), len(x), generator=rng).to(x.device)
    usable = x.flatten(1).isfinite().all(1)
    keys = torch.where((label[:, None] != label) & usable[:, None] & usable, keys, -1.0)
    rows = (keys >= 0).any(1).nonzero()[:, 0]
    partner = keys[rows].argmax(1) if len(rows) else rows
    return _crossing("nat_segment", model, x, label, rows, x[rows], x[partner])


@FAMILIES.register("random_dir")
def random_dir(
    model: Model, x: Tensor, rng: torch.Generator, *, reach: float | None = None, checks: int = 64
) -> BoundaryPoints:
    """The first crossing seen on a ray from each image in a uniformly random direction.

    Args:
        model: images (N, ...) in [0, 1] to logits (N, K).
        x: (N, C, H, W) in [0, 1].
        rng: of the directions, of the CPU.
        reach: how far to look, pixel units; default sqrt(d), a root mean square of 1 for each pixel.
        checks: labels looked up on the ray, evenly spaced; between two of them a crossing is searched.
    """
    x = x.detach()
    distance = x.shape[1:].numel() ** 0.5 if reach is None else reach
    stride = distance / checks * random_directions(x, 1, rng)[:, 0]
    with torch.no_grad():
        label = logits_of(model, x).argmax(1)
        last_inside = torch.full_like(label, -1)
        open_rows = torch.arange(len(x), device=x.device)
        for check in range(1, checks + 1):
            logits = logits_of(model, x[open_rows] + check * stride[open_rows])
            beyond = clearly_beyond(logits, label[open_rows])
            last_inside[open_rows[beyond]] = check - 1
            open_rows = open_rows[~beyond]
            if open_rows.numel() == 0:
                break
    rows = (last_inside >= 0).nonzero()[:, 0]
    low = x[rows] + per_sample(last_inside[rows].to(x.dtype), x) * stride[rows]
    return _crossing("random_dir", model, x, label, rows, low, low + stride[rows])


def _estimated(model: Model, x: Tensor, margin: MarginResult) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The images' labels, (N,); of those with a boundary: indices, class beyond, (R,), a point near it, (R, ...).

    An image on the boundary, which estimators may not get away from, is its own point.
    """
    with torch.no_grad():
        logits = logits_of(model, x)
    runner_up = logits.scatter(1, margin.start_class[:, None], -torch.inf).argmax(1)
    there = pair_gap(logits, margin.start_class, runner_up).abs() <= (4 * rounding(logits)).clamp_min(1e-10)
    near = there.nonzero()[:, 0]
    if len(near):
        _, value, gradient = gap_and_gradient(model, x[near], margin.start_class[near], runner_up[near])
        there[near] = value.abs() <= tolerance(logits[near], gradient)
    point = torch.where(per_sample(there, x), x, margin.point)
    other = torch.where(there, runner_up, margin.boundary_class)
    rows = (there | margin.success).nonzero()[:, 0]
    return margin.start_class, rows, other[rows], point[rows]


def _crossing(
    family: str, model: Model, x: Tensor, label: Tensor, rows: Tensor, low: Tensor, high: Tensor
) -> BoundaryPoints:
    """Boundary points between `low`, labelled as the images `rows`, and `high`, beyond; (R, ...) each."""
    with torch.no_grad():
        gaps = [gap(logits_of(model, end), label[rows]) for end in (low, high)]
    crosses = (gaps[0] >= 0) & (gaps[1] < 0)
    rows, low, high, gaps = rows[crosses], low[crosses], high[crosses], [end[crosses] for end in gaps]
    t, other, _ = first_crossing(model, low, high - low, label[rows], gap_at_x=gaps[0], gap_at_end=gaps[1])
    found = other >= 0
    rows, other, point = rows[found], other[found], (low + per_sample(t, low) * (high - low))[found]
    return _collect(family, x, label, rows, other, point, to_boundary(model, point, label[rows], other))


def _collect(
    family: str, x: Tensor, own: Tensor, rows: Tensor, other: Tensor, before: Tensor, refined: Refined
) -> BoundaryPoints:
    """One row an image from what was found for `rows`: `other` and the points before and after refinement."""

    def spread(values: Tensor, missing: float) -> Tensor:
        full = torch.full((len(x), *values.shape[1:]), missing, dtype=values.dtype, device=x.device)
        return full.index_copy(0, rows, values)

    back = (x[rows] - refined.point).flatten(1)
    gradient = refined.gradient.flatten(1)
    distance = back.norm(dim=1)
    cosine = (back * steepest(gradient, "l2")).sum(1) / distance
    third = refined.logits.scatter(1, torch.stack([own[rows], other], 1), -torch.inf).amax(1)
    # in rounding's reach of the boundary the direction to it is noise
    at_start = distance <= 1e3 * torch.finfo(x.dtype).eps * x[rows].flatten(1).norm(dim=1)
    cosine = torch.where(at_start, torch.nan, cosine)
    stationary = refined.on_boundary & (at_start | (cosine > STATIONARY_COSINE))
    leading = torch.minimum(*(refined.logits.gather(1, k[:, None])[:, 0] for k in (own[rows], other)))
    return BoundaryPoints(
        family=family,
        start=x,
        point=spread(refined.point, torch.nan),
        gradient=spread(refined.gradient, torch.nan),
        own=own,
        other=spread(other, -1),
        success=spread(refined.on_boundary, False),
        value=spread(refined.value, torch.nan),
        found=spread((x[rows] - before).flatten(1).norm(dim=1), torch.nan),
        distance=spread(distance, torch.nan),
        cosine=spread(cosine, torch.nan),
        stationary=spread(stationary, False),
        top_two=spread(leading >= third, False),
        iterations=spread(refined.iterations, 0),
    )
