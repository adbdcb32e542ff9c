"""DeepFool (Moosavi-Dezfooli, Fawzi, Frossard 2016, arXiv 1511.04599), batched over images.

With p the start class and z the current point, every other class k has a linearised boundary f_k - f_p = 0 at distance

    |f_k(z) - f_p(z)| / ||grad (f_k - f_p)(z)||_*        (* the dual norm: l2 for l2, l1 for linf)

The step goes to the nearest of them: for l2 along the gradient, for linf along its sign. The steps add up to r, and
x + (1 + overshoot) r is the point that is tested and linearised at next.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..core.measuring import Model, evaluate
from ..core.norms import dual_norm, per_sample, steepest
from ..core.segments import clearly_beyond, gap, pick
from .result import ESTIMATORS, MarginResult, bisected


@ESTIMATORS.register("deepfool")
def deepfool(
    model: Model,
    x: Tensor,
    start_class: Tensor | None = None,
    *,
    norm: str = "l2",
    clipped: bool = False,
    towards: Tensor | None = None,
    steps: int = 50,
    overshoot: float = 0.02,
    candidates: int | None = 5,
) -> MarginResult:
    """Margins by DeepFool, then bisection between the image and DeepFool's end point.

    Args:
        x: (N, C, H, W) in [0, 1]. start_class: (N,), default the predicted class.
        towards: (N,), classes to reach: each step then goes to the boundary with the largest other class.
        clipped: test and linearise at points clipped to the [0, 1] box, so that the end point lies in it.
        steps: at most; an image that has not crossed by then, or that meets a zero gradient, is a failure.
        overshoot: the sum of steps is lengthened by this share, once; bisection takes it back.
        candidates: this many classes, those with the largest logits, compete for the nearest boundary. The first step
            takes the gradients of all of them; later ones only of the class that is nearest by its logit and its
            last gradient's norm. None: all classes, each with its gradient, in every step, as in the paper.

    Reference: arXiv 1511.04599, algorithm 2 (l2) and section 3.3 (other norms).
    Differs: bisection follows; classes that can hardly win get no gradients (see `candidates`).
    """
    n = len(x)
    forwards, backwards, iterations = (torch.zeros(n, dtype=torch.int64, device=x.device) for _ in range(3))
    start = torch.zeros_like(forwards)
    others = torch.zeros((n, 0), dtype=torch.int64, device=x.device)
    lengths = torch.zeros((n, 0), dtype=x.dtype, device=x.device)
    start_gap, end_gap = (torch.full((n,), torch.nan, dtype=x.dtype, device=x.device) for _ in range(2))
    crossed = torch.zeros(n, dtype=torch.bool, device=x.device)
    r = torch.zeros_like(x)
    active = torch.arange(n, device=x.device)
    for iteration in range(steps + 1):
        z, logits = evaluate(model, _point(x[active], r[active], overshoot, clipped))
        forwards[active] += 1
        if iteration == 0:
            start = logits.argmax(1) if start_class is None else start_class
            others = _competitors(logits.detach(), start, candidates) if towards is None else towards[:, None]
            lengths = torch.zeros_like(others, dtype=x.dtype)
            start_gap = gap(logits, start, towards).detach()
        end_gap[active] = gap(logits, start[active], pick(towards, active)).detach()
        crossed[active] = clearly_beyond(logits, start[active], pick(towards, active))
        going = ~crossed[active] & logits.isfinite().all(1)
        if iteration == steps or not bool(going.any()):
            break
        active = active[going]
        if not bool(going.all()):
            # one more forward pass for those that go on is cheaper than gradients for those that do not
            z, logits = evaluate(model, z.detach()[going])
            forwards[active] += 1
        reference = start[active]
        if towards is not None:
            reference = logits.detach().scatter(1, others[active], -torch.inf).argmax(1)
        rivals = others[active]
        columns = torch.arange(rivals.shape[1], device=x.device).expand_as(rivals)
        if iteration > 0 and candidates is not None:
            distances = _differences(logits.detach(), reference, rivals).abs() / lengths[active]
            columns = distances.argmin(1, keepdim=True)
        rivals = rivals.gather(1, columns)
        length, gradient, dual_lengths = _nearest_boundary(logits, z, reference, rivals, norm)
        lengths[active] = lengths[active].scatter(1, columns, dual_lengths)
        backwards[active] += rivals.shape[1]
        stepping = length.isfinite()
        active = active[stepping]
        # where the point lies on the boundary the step would have length 0 and never get across
        r[active] += per_sample(length.clamp_min(1e-6), x)[stepping] * steepest(gradient[stepping], norm)
        iterations[active] += 1

    return bisected(
        model,
        x,
        _point(x, r, overshoot, clipped),
        start,
        crossed,
        norm=norm,
        towards=towards,
        start_gap=start_gap,
        end_gap=end_gap,
        iterations=iterations,
        forwards=forwards,
        backwards=backwards,
    )


def _point(x: Tensor, r: Tensor, overshoot: float, clipped: bool) -> Tensor:
    z = x + (1 + overshoot) * r
    return z.clamp(0, 1) if clipped else z


def _competitors(logits: Tensor, start: Tensor, candidates: int | None) -> Tensor:
    """The classes beside `start` with the largest logits, (N, candidates); all of them for None."""
    others = logits.shape[1] - 1
    return logits.scatter(1, start[:, None], -torch.inf).topk(min(candidates or others, others), dim=1).indices


def _differences(logits: Tensor, reference: Tensor, rivals: Tensor) -> Tensor:
    return logits.gather(1, rivals) - logits.gather(1, reference[:, None])


def _nearest_boundary(
    logits: Tensor, z: Tensor, reference: Tensor, rivals: Tensor, norm: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Distance from z to the nearest linearised boundary between `reference` and the classes `rivals`, (N, C).

    Also the gradient of that boundary's f_rival - f_reference, (N, ...), and the dual norms of all these gradients,
    (N, C). A boundary whose gradient vanishes is infinitely far.
    """
    with torch.enable_grad():
        differences = _differences(logits, reference, rivals)
    dual_lengths = []
    nearest = torch.full_like(logits[:, 0], torch.inf, requires_grad=False)
    best_gradient = torch.zeros_like(z, requires_grad=False)
    for column in range(rivals.shape[1]):
        is_last = column == rivals.shape[1] - 1
        gradient = torch.autograd.grad(differences[:, column].sum(), z, retain_graph=not is_last)[0]
        length = dual_norm(gradient, norm)
        distance = torch.where(length > 0, differences[:, column].detach().abs() / length, torch.inf)
        best_gradient = torch.where(per_sample(distance < nearest, z), gradient, best_gradient)
        nearest = torch.minimum(nearest, distance)
        dual_lengths.append(length)
    return nearest, best_gradient, torch.stack(dual_lengths, 1)
