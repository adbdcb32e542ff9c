"""Certified lower bounds on the margin: the largest ball in which no other label is possible.

Bounds from `bounds`, the radius by narrowing a bracket. No point of another label is found, so that `margin` stays nan.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.measuring import Model, logits_of
from ..names import BOUND_METHODS
from .bounds import Ball, lower_bounds, num_at_once
from .network import trace
from .result import ESTIMATORS, Abilities, MarginResult

# every so many radii the bracket is halved, whatever was proved at its ends
HALVED = 3
# pixel units: the first radius that is tested, below which none is, and beyond which none is
FIRST, SMALLEST, LARGEST = 0.01, 1e-8, 1e8


@ESTIMATORS.register(
    "certified", abilities=Abilities(model="piecewise linear", finds_points=False, certifies=True, tolerance=1e-3)
)
@torch.no_grad()
def certified(
    model: Model,
    x: Tensor,
    start_class: Tensor | None = None,
    *,
    norm: str = "l2",
    clipped: bool = False,
    towards: Tensor | None = None,
    method: str = "crown_ibp",
    search_steps: int = 11,
    slope_steps: int = 20,
) -> MarginResult:
    """Lower bounds on margins by interval arithmetic or CROWN.

    Each image's radius is doubled or halved from 0.01 until one is certified and its double is not. Then the bracket is
    narrowed near where the line through what is proved at its ends changes sign (regula falsi, Illinois), or halved.
    `lower` is a radius that was itself certified: f_start > f_k at every point of the ball, for all k. It is 0 where
    the image is beyond the boundary or no radius could be certified, nan where the image or a logit is not finite.

    Args:
        model: a module whose steps `network.trace` knows: linear and convolutional layers, batch-norm in eval mode,
            ReLU, average and max-pooling, flattening and sums.
        x: (N, C, H, W) in [0, 1].
        start_class: (N,), default the predicted class.
        norm: l2 or linf.
        clipped: only points in the [0, 1] box count; `lower` is at most the box's diameter.
        towards: (N,), classes t; certified is then f_start > f_t alone, without which no point is labelled t.
        method: "ibp" (interval arithmetic), "crown_ibp", "crown" or "alpha_crown"; each is at least as tight as the one
            before and slower. From crown on a row is pulled back for every unit that may be on.
        search_steps: `lower` is within 2^-search_steps, relative, of the radius where the method gives up.
        slope_steps: of alpha_crown, gradient steps on the slopes at most.

    Raises:
        ValueError: the method is unknown, or the model has a step that has no bounds; the message names it.

    Rounding: bounds are computed in float64, which knows the weights exactly; the classes' gap must stay above 4 eps
    max|logit| at the image, with eps of the model's own dtype, as an allowance for the model's rounding. That is
    not a proof for float32 logits as such (nor is 1e-16-sized rounding of the bounds themselves accounted for).

    In the result `iterations` are radii tested, `forwards` the model once and an interval pass for each radius (crown:
    two), `backwards` rows pulled back.

    Reference: arXiv 1811.00866, section 4 (largest certified radius by bisection).
    Differs: see `bounds.lower_bounds`; the box; batched over images; the bracket by doubling.
    """
    if method not in BOUND_METHODS:
        raise ValueError(f"method={method!r}: not one of {', '.join(BOUND_METHODS)}")
    nodes = trace(model, x.shape[1:])
    logits = logits_of(model, x)
    num_classes = logits.shape[1]
    start = logits.argmax(1) if start_class is None else start_class
    shift = torch.arange(1, num_classes, device=x.device)
    others = (start[:, None] + shift) % num_classes if towards is None else towards[:, None]
    rows = -F.one_hot(others, num_classes).double()
    rows += F.one_hot(start, num_classes)[:, None]
    allowance = 4 * torch.finfo(logits.dtype).eps * logits.abs().amax(1).double()

    finite = x.flatten(1).isfinite().all(1) & logits.isfinite().all(1)
    above = (rows * logits.double()[:, None]).sum(2).amin(1) > allowance
    largest = (x[0].numel() ** 0.5 if norm == "l2" else 1.0) if clipped else LARGEST
    lower, upper = torch.zeros_like(allowance), torch.full_like(allowance, torch.inf)
    iterations, forwards, backwards = torch.zeros_like(start), torch.ones_like(start), torch.zeros_like(start)
    at_once = num_at_once(rows.shape[1] * max(node.shape.numel() for node in nodes), x.device)
    passes = 1 if method in ("ibp", "crown_ibp") else 2
    # by how much what is proved at `lower` and `upper` exceeds the allowance, and which of them moved last
    at_lower, at_upper, rose = torch.ones_like(lower), -torch.ones_like(lower), torch.zeros_like(finite)
    while True:
        wide = upper - lower > lower * 2.0**-search_steps * (1 + 1e-9)
        open_bracket = wide & (lower < largest) & (upper > SMALLEST)
        active = (finite & above & open_bracket).nonzero()[:, 0]
        if active.numel() == 0:
            break
        radius = torch.where(lower > 0, 2 * lower, FIRST).where(
            upper.isinf(), _between(lower, upper, at_lower, at_upper, iterations, search_steps)
        )
        radius = radius.clamp_max(largest)
        for part in active.split(at_once):
            ball = Ball(x[part].double(), radius[part], norm, clipped)
            bounds, pulled = lower_bounds(
                nodes, ball, rows[part], method, enough=allowance[part], slope_steps=slope_steps
            )
            excess = bounds.amin(1) - allowance[part]
            holds = excess > 0
            # the end that stays a second time counts half, so that the next radius falls on its side
            at_lower[part] = torch.where(holds, excess, torch.where(rose[part], 1.0, 0.5) * at_lower[part])
            at_upper[part] = torch.where(holds, torch.where(rose[part], 0.5, 1.0) * at_upper[part], excess)
            rose[part] = holds
            lower[part] = torch.where(holds, radius[part], lower[part])
            upper[part] = torch.where(holds, upper[part], radius[part])
            iterations[part] += 1
            forwards[part] += passes
            backwards[part] += pulled
    # towards 0: rounding to the nearest may leave the certified radius
    rounded = torch.nextafter(lower.to(x.dtype), torch.zeros_like(x.flatten(1)[:, 0]))
    nothing = torch.full_like(rounded, torch.nan)
    return MarginResult(
        margin=nothing,
        lower=torch.where(finite, rounded, torch.nan),
        overshot=nothing.clone(),
        point=torch.full_like(x, torch.nan),
        start_class=start,
        boundary_class=torch.full_like(start, -1),
        success=torch.zeros_like(finite),
        iterations=iterations,
        forwards=forwards,
        backwards=backwards,
    )


def _between(
    lower: Tensor, upper: Tensor, at_lower: Tensor, at_upper: Tensor, tested: Tensor, search_steps: int
) -> Tensor:
    """The next radius inside each bracket, (N,): one of those that `search_steps` bisections could come to.

    With the same radii for every method, a tighter one never gives less.
    """
    share = (at_lower / (at_lower - at_upper)).nan_to_num(0.5)
    share = torch.where(tested % HALVED == 0, 0.5, share)
    cell = FIRST * 2.0 ** ((lower / FIRST).log2() + 1e-9).floor() * 2.0**-search_steps
    cells = (upper - lower) / cell
    chosen = torch.minimum((share * cells).round(), (cells - 1e-6).ceil() - 1).clamp_min(1)
    return torch.where(lower > 0, lower + chosen * cell, upper / 2)
