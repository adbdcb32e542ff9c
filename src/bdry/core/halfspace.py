"""The nearest point of a hyperplane, in the whole space or in a box, batched. Pixel units of [0, 1]."""

from __future__ import annotations

import torch
from torch import Tensor

# where pixels are
UNIT_BOX = (0.0, 1.0)
# the plane is reached to so many roundings of its distance
TOLERANCE = 16
# a multiplier that takes every coordinate of a moderate normal to its end
LARGE = 1e30
# rows that are done leave the iteration when fewer than this share go on
WORTH_DROPPING = 0.5


@torch.no_grad()
def project_hyperplane(
    x: Tensor, w: Tensor, excess: Tensor, norm: str, box: tuple[Tensor, Tensor] | tuple[float, float] | None = None
) -> tuple[Tensor, Tensor]:
    """The displacement of least `norm` that brings each x onto the plane {y: excess + <w, y - x> = 0}.

    Every coordinate moves the way that brings the excess to 0: for l2 by lambda |w_i|, for linf by lambda. In the
    box it stops where its room ends, so that what is closed of it is a concave, piecewise linear function of lambda,
    with a break where a coordinate stops.

    Args:
        x: (N, ...), in the box if there is one. w: (N, ...), one normal a row.
        excess: (N,), the plane's function at x.
        box: x + displacement stays between its two ends, numbers for every coordinate or of x's shape; None: anywhere.

    Returns:
        delta, (N, ...), and reachable, (N,) bool. In rows that cannot reach the plane in the box, delta leads to the
        corner that gets nearest; coordinates of w that are 0 do not move. Where w is 0, or anything is not finite,
        delta is 0; reachable is then true only where the plane's equation holds already.
    """
    flat_x, flat_w = x.flatten(1), w.flatten(1)
    scale = flat_w.abs().amax(1)
    usable = excess.isfinite() & scale.isfinite() & (scale > 0)
    target = torch.where(usable, excess.abs() / scale, 0.0).to(x.dtype)
    # the normal, of largest coordinate 1, on the side to which the plane lies
    normal = flat_w / torch.where(excess > 0, -scale, scale)[:, None]
    if not bool(usable.all()):
        normal, flat_x = (torch.where(usable[:, None], part, 0.0) for part in (normal, flat_x))
    pace = normal if norm == "l2" else normal.sign()
    rates = normal * pace
    rate = rates.sum(1)
    multiplier = torch.where(rate > 0, target / rate, 0.0)
    closes = torch.ones_like(usable)
    delta = multiplier[:, None] * pace
    if box is not None:
        low, high = ((end.flatten(1) if isinstance(end, Tensor) else end) - flat_x for end in box)
        # an end that is infinite is a large number: it is multiplied by coordinates of the normal that may be 0
        largest = torch.finfo(x.dtype).max
        low, high = low.clamp_(-largest, 0), high.clamp_(0, largest)
        # what a coordinate has closed where its room ends, without a mask, which is slow on a CPU
        ends = torch.maximum(normal * low, normal * high)
        closes = _enlarge(multiplier, target, rates, ends)
        delta = (multiplier[:, None] * pace).clamp(low, high)
    there_already = (scale == 0) & (excess == 0)
    return delta.reshape(x.shape), (usable & closes) | there_already


def _enlarge(multiplier: Tensor, target: Tensor, rates: Tensor, ends: Tensor) -> Tensor:
    """Enlarges lambda, (N,), in place until sum_i min(lambda rates_i, ends_i) = target; whether that is so, (N,).

    rates: (N, D), by how much of the target each coordinate closes as lambda grows. ends: (N, D), what it has closed
    where it stops. The sum is concave and piecewise linear in lambda: Newton's steps from below, where no coordinate
    had been stopped, approach the solution from below and reach it once the set of stopped coordinates is right.
    """
    closes = torch.ones_like(target, dtype=torch.bool)
    rows, near = torch.arange(len(target), device=target.device), TOLERANCE * torch.finfo(target.dtype).eps
    while True:
        closed = multiplier[rows, None] * rates
        left = target[rows] - torch.minimum(closed, ends).sum(1)
        # 1 where a coordinate still moves, 0 where it has stopped
        moves = (ends - closed).sign_().clamp_min_(0)
        rate = (rates * moves).sum(1)
        short = left > near * target[rows]
        # every coordinate has stopped before the target
        closes[rows] = ~(short & (rate == 0))
        further = torch.where(rate > 0, multiplier[rows] + left / rate, LARGE)
        multiplier[rows] = torch.where(short, further, multiplier[rows])
        going = short & (rate > 0)
        if not bool(going.any()):
            return closes
        if float(going.float().mean()) < WORTH_DROPPING:
            rows, rates, ends = rows[going], rates[going], ends[going]
