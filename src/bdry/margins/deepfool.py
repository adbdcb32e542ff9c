"""DeepFool (Moosavi-Dezfooli, Fawzi, Frossard 2016, arXiv 1511.04599), batched over images.

With p the start class and z the current point, every other class k has a linearised boundary f_k - f_p = 0 at distance

    |f_k(z) - f_p(z)| / ||grad (f_k - f_p)(z)||_*        (* the dual norm: l2 for l2, l1 for linf)

The step goes to the nearest of them: for l2 along the gradient, for linf along its sign. The steps add up to r, and
x + (1 + overshoot) r is the point that is tested and linearised at next.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..core.measuring import Model
from ..core.norms import dual_norm, per_sample, steepest
from ..core.segments import clearly_beyond, gap
from .result import ESTIMATORS, MarginResult, bisected


@ESTIMATORS.register("deepfool")
def deepfool(
    model: Model,
    x: Tensor,
    start_class: Tensor | None = None,
    *,
    norm: str = "l2",
    clipped: bool = False,
    steps: int = 50,
    overshoot: float = 0.02,
) -> MarginResult:
    """Margins by DeepFool, then bisection between the image and DeepFool's end point.

    Args:
        x: (N, C, H, W) in [0, 1]. start_class: (N,), default the predicted class.
        clipped: test and linearise at points clipped to the [0, 1] box, so that the end point lies in it.
        steps: at most; an image that has not crossed by then, or that meets a zero gradient, is a failure.
        overshoot: the sum of steps is lengthened by this share, once; bisection takes it back.

    Reference: arXiv 1511.04599, algorithm 2 (l2) and section 3.3 (other norms).
    Differs: on each image the last step is followed by bisection; all classes compete at every step, on logits.
    """
    n = len(x)
    with torch.no_grad():
        logits = model(x)
    start = logits.argmax(1) if start_class is None else start_class
    start_gap = gap(logits, start)
    forwards = torch.ones(n, dtype=torch.int64, device=x.device)
    backwards, iterations = torch.zeros_like(forwards), torch.zeros_like(forwards)
    r = torch.zeros_like(x)
    crossed = start_gap < 0
    end_gap = start_gap.clone()
    active = (~crossed & start_gap.isfinite()).nonzero()[:, 0]
    for _ in range(steps):
        if active.numel() == 0:
            break
        z = _point(x[active], r[active], overshoot, clipped)
        step, stepped, num_backwards = _step(model, z, start[active], norm)
        forwards[active] += 1
        backwards[active] += num_backwards
        active, step = active[stepped], step[stepped]
        r[active] += step
        iterations[active] += 1
        with torch.no_grad():
            logits = model(_point(x[active], r[active], overshoot, clipped))
        forwards[active] += 1
        end_gap[active] = gap(logits, start[active])
        crossed[active] = clearly_beyond(logits, start[active])
        active = active[~crossed[active]]

    return bisected(
        model,
        x,
        _point(x, r, overshoot, clipped),
        start,
        crossed,
        norm=norm,
        start_gap=start_gap,
        end_gap=end_gap,
        iterations=iterations,
        forwards=forwards,
        backwards=backwards,
    )


def _point(x: Tensor, r: Tensor, overshoot: float, clipped: bool) -> Tensor:
    z = x + (1 + overshoot) * r
    return z.clamp(0, 1) if clipped else z


def _step(model: Model, z: Tensor, start: Tensor, norm: str) -> tuple[Tensor, Tensor, int]:
    """The step to the nearest linearised boundary, (N, ...).

    Also whether there is one (a nonzero gradient), (N,), and the backward passes an image.
    """
    with torch.enable_grad():
        z = z.detach().requires_grad_(True)
        logits = model(z)
        num_classes = logits.shape[1]
        best = torch.full((len(z),), torch.inf, dtype=z.dtype, device=z.device)
        best_gradient = torch.zeros_like(z)
        for offset in range(1, num_classes):
            other = (start + offset) % num_classes
            difference = logits.gather(1, other[:, None])[:, 0] - logits.gather(1, start[:, None])[:, 0]
            gradient = torch.autograd.grad(difference.sum(), z, retain_graph=offset < num_classes - 1)[0]
            length = dual_norm(gradient, norm)
            distance = difference.detach().abs() / length
            nearer = (length > 0) & (distance < best)
            best = torch.where(nearer, distance, best)
            best_gradient = torch.where(per_sample(nearer, z), gradient, best_gradient)
    # where the point lies on the boundary the step would have length 0 and never get across
    return (
        per_sample(best.clamp_min(1e-6), z) * steepest(best_gradient, norm),
        best.isfinite(),
        num_classes - 1,
    )
