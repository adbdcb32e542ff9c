"""Exact margins of affine classifiers, in R^d and inside the box: what the other estimators are held to."""

from __future__ import annotations

import torch
from torch import Tensor

from ..core.halfspace import UNIT_BOX, project_hyperplane
from ..core.measuring import Model
from ..core.norms import norm as norm_of
from ..core.norms import per_sample
from ..errors import UsageError
from .result import ESTIMATORS, MarginResult


@ESTIMATORS.register("exact")
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
    it. The lower bound equals the margin.

    Args:
        x: (N, C, H, W) in [0, 1]. tolerance: how far from affine, relative to the logits, is taken for rounding.
        towards: (N,): only an affine two-class boundary has a closed form, hence K = 2.

    Raises:
        UsageError: the model is not affine, or `towards` is given with more than two classes.
    """
    weight, bias = _affine_form(model, x)
    if not torch.allclose(x.flatten(1) @ weight.T + bias, model(x), rtol=tolerance, atol=tolerance, equal_nan=True):
        raise UsageError("margin=exact: takes affine classifiers (arch=linear); this one is not")
    num_classes = len(bias)
    if towards is not None and num_classes > 2:
        raise UsageError("margin=exact: towards a class there is a closed form for two classes only")
    with torch.no_grad():
        logits = model(x)
    start = logits.argmax(1) if start_class is None else start_class
    rows = torch.arange(len(x), device=x.device)
    best = torch.full_like(logits[:, 0], torch.inf)
    delta, boundary_class = torch.zeros_like(x), torch.full_like(start, -1)
    for other in range(num_classes):
        normal = (weight[other] - weight[start]).reshape(x.shape)
        difference = logits[:, other] - logits[rows, start]
        offset = difference.double() - (normal * x).flatten(1).double().sum(1)
        step, reachable = project_hyperplane(x, normal, offset, norm, UNIT_BOX if clipped else None)
        distance = torch.where(difference < 0, norm_of(step, norm), 0.0)
        nearer = (start != other) & reachable & difference.isfinite() & (distance < best)
        best = torch.where(nearer, distance, best)
        delta = torch.where(per_sample(nearer, x), torch.where(per_sample(difference < 0, x), step, 0.0), delta)
        boundary_class = torch.where(nearer, other, boundary_class)
    success = boundary_class >= 0
    margin = torch.where(success, best, torch.nan)
    point = torch.where(per_sample(success, x), x + delta, torch.nan)
    forwards = torch.full_like(start, 2)
    backwards = torch.full_like(start, -(-num_classes // max(len(x), 1)))
    return MarginResult(
        margin, margin, margin, point, start, boundary_class, success, torch.ones_like(start), forwards, backwards
    )


def _affine_form(model: Model, x: Tensor) -> tuple[Tensor, Tensor]:
    """Weight (K, d) and bias (K,) of the affine map that agrees with the model around the middle of the box."""
    with torch.enable_grad():
        middle = torch.full_like(x[:1], 0.5).requires_grad_(True)
        logits = model(middle)[0]
        gradients = [torch.autograd.grad(logit, middle, retain_graph=True)[0].flatten() for logit in logits]
    weight = torch.stack(gradients)
    return weight, logits.detach() - weight @ middle.detach().flatten()
