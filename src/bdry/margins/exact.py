"""Exact margins of affine classifiers, in R^d and inside the box: what the other estimators are held to."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from ..core.measuring import Model, evaluate
from ..core.norms import norm as norm_of
from ..core.norms import per_sample
from ..core.segments import rounding
from .result import ESTIMATORS, Abilities, MarginResult
from .search import Search

# the point aims beyond the hyperplane by so many roundings of the logits, one after the other until its label differs
AIMS = (0, 1, 4, 16, 64)


@ESTIMATORS.register("exact", abilities=Abilities(model="affine", certifies=True, tolerance=1e-4))
def exact(
    model: Model,
    x: Tensor,
    start_class: Tensor | None = None,
    *,
    norm: str = "l2",
    clipped: bool = False,
    towards: Tensor | None = None,
    tolerance: float = 1e-4,
) -> MarginResult:
    """Margins of an affine classifier: the least distance over all other classes k to the hyperplane f_k = f_start.

    In R^d that is |f_start - f_k| / ||w_start - w_k||_*; inside the box the projection onto the hyperplane's part in
    it. That of gaps smaller by the logits' rounding is `lower`; `margin` is the distance of a point just beyond, whose
    label differs.

    Args:
        model: gives logits, (N, K), affine in its input but for a number that all of them share, as log-probabilities.
        x: (N, C, H, W) in [0, 1].
        start_class: (N,), default the predicted class.
        norm: "l2" or "linf".
        clipped: inside the [0, 1] box.
        towards: (N,): only an affine two-class boundary has a closed form, hence K = 2.
        tolerance: how far from affine, relative to the largest logit, is taken for rounding.

    Raises:
        ValueError: the model is not affine, or `towards` is given with more than two classes.
    """
    search = Search(model, x, start_class, norm=norm, towards=towards, clipped=clipped)
    if towards is not None:
        # of two classes the other one, whatever is predicted
        search.start = 1 - towards
    logits, rows = search.logits, search.open_rows()
    if not bool(search.finite.any()):
        return search.result()
    weight, bias = _affine_form(model, x)
    known = search.leaf_logits.isfinite()
    # what counts is how logits differ: float64 ones may be moved together before they are shortened
    moved = (x.flatten(1) @ weight.T + bias - search.leaf_logits).where(known, 0.0)
    error = (moved - moved.gather(1, search.start[:, None]))[known & search.finite[:, None]].abs()
    if bool((error > tolerance * search.leaf_logits[known].abs().amax()).any()):
        raise ValueError("the model is not affine: exact margins have a closed form for affine classifiers only")
    num_classes = len(bias)
    if towards is not None and num_classes > 2:
        raise ValueError(f"towards is given, the model has {num_classes} classes: there is a closed form for two only")
    search.forwards += 1
    search.backwards += -(-num_classes // max(len(x), 1))
    search.iterations += 1

    start, origin = search.start[rows], x[rows]
    # float64 logits are the affine map's own; else they and its form are rounded, by as much as they differ
    exact_logits = search.look_in_float64(rows, origin)
    at_image = logits[rows] if exact_logits is None else exact_logits
    allowance = rounding(logits[rows])
    if exact_logits is None:
        allowance = torch.maximum(search.noise[rows], 2 * error.amax())
    least = torch.full_like(search.distance[rows], torch.inf)
    lower = least.clone()
    nearest, w, value = torch.full_like(start, -1), torch.zeros_like(origin), torch.zeros_like(lower)
    for other in range(num_classes):
        normal = (weight[other] - weight[start]).reshape(origin.shape)
        difference = (at_image[:, other] - at_image.gather(1, start[:, None])[:, 0]).to(x.dtype)
        usable = (start != other) & difference.isfinite() & (normal.flatten(1) != 0).any(1)
        step, reachable = search.step(origin, origin, difference.nan_to_num(0.0, 0.0, 0.0), normal)
        distance = norm_of(step, norm)
        nearer = usable & reachable & (distance < least)
        least, nearest = torch.where(nearer, distance, least), torch.where(nearer, other, nearest)
        low, reachable = search.step(
            origin, origin, (difference + allowance).nan_to_num(0.0, 0.0, 0.0).clamp_max(0), normal
        )
        lower = torch.where(usable & reachable, torch.minimum(lower, norm_of(low, norm)), lower)
        w = torch.where(per_sample(nearer, x), normal, w)
        value = torch.where(nearer, difference, value)
    for aim in AIMS:
        left = search.distance[rows].isinf() & (nearest >= 0)
        ahead = value[left] - aim * search.noise[rows[left]]
        point = origin[left] + search.step(origin[left], origin[left], ahead, w[left])[0]
        search.evaluate(rows[left], point.clamp(0, 1) if clipped else point, graph=False)
    result = search.result()
    bound = torch.zeros_like(result.margin)
    bound[rows] = torch.minimum(lower, result.margin[rows])
    return dataclasses.replace(result, lower=torch.where(result.success, bound, torch.nan))


def _affine_form(model: Model, x: Tensor) -> tuple[Tensor, Tensor]:
    """Weight (K, d) and bias (K,) of the affine map that agrees with the model around the middle of the box."""
    middle, logits = evaluate(model, torch.full_like(x[:1], 0.5))
    if not logits.requires_grad:
        raise ValueError("the model's logits have no gradients: its forward pass must not be run under no_grad")
    gradients = [torch.autograd.grad(logit, middle, retain_graph=True)[0].flatten() for logit in logits[0]]
    weight = torch.stack(gradients)
    return weight, logits[0].detach() - weight @ middle.detach().flatten()
