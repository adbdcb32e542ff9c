"""The nearest point of a hyperplane, in the whole space or in a box, batched. Pixel units of [0, 1]."""

from __future__ import annotations

import torch
from torch import Tensor

# where pixels are
UNIT_BOX = (0.0, 1.0)


@torch.no_grad()
def project_hyperplane(
    x: Tensor, w: Tensor, b: Tensor, norm: str, box: tuple[Tensor, Tensor] | tuple[float, float] | None = None
) -> tuple[Tensor, Tensor]:
    """The displacement of least `norm` that brings each x onto {y: <w, y> + b = 0}.

    Every coordinate moves the way that closes the gap c = <w, x> + b: for l2 by lambda |w_i|, for linf by lambda. In
    the box it stops where its room ends, so that the gap closed is a concave, piecewise linear function of lambda,
    with a break where a coordinate stops.

    Args:
        x: (N, ...), in the box if there is one. w: (N, ...), one normal a row.
        b: (N,); pass it in float64 where it comes from <w, z>, or the rounding of that sum moves the plane.
        box: x + displacement stays between its two ends, numbers for every coordinate or of x's shape; None: anywhere.

    Returns:
        delta, (N, ...), and reachable, (N,) bool. In rows that cannot reach the plane in the box, delta leads to the
        corner that gets nearest; coordinates of w that are 0 do not move. Where w is 0, or anything is not finite,
        delta is 0; reachable is then true only where the plane's equation holds already.
    """
    flat_x, flat_w = x.flatten(1).double(), w.flatten(1).double()
    excess = (flat_w * flat_x).sum(1) + b.double()
    scale = flat_w.abs().amax(1)
    usable = excess.isfinite() & scale.isfinite() & (scale > 0)
    scale = torch.where(usable, scale, 1.0)
    excess = torch.where(usable, excess / scale, 0.0)
    flat_w = torch.where(usable[:, None], flat_w / scale[:, None], 0.0)

    way = torch.where(excess > 0, -1.0, 1.0)[:, None] * flat_w.sign()
    slope = flat_w.abs()
    pace = slope if norm == "l2" else torch.ones_like(slope)
    if box is not None:
        low, high = (end.flatten(1).double() if isinstance(end, Tensor) else end for end in box)
        room = torch.where(way > 0, high - flat_x, flat_x - low).clamp_min(0)
        multiplier, closes = _multiplier(slope, pace, room, excess.abs())
        length = torch.where(closes[:, None], torch.minimum(multiplier[:, None] * pace, room), room)
    else:
        rate = (slope * pace).sum(1)
        length = torch.where(rate > 0, excess.abs() / rate.clamp_min(1e-300), 0.0)[:, None] * pace
        closes = torch.ones_like(usable)
    delta = torch.where((slope > 0) & usable[:, None], way * length, 0.0)
    there_already = (w.flatten(1) == 0).all(1) & (b == 0)
    return delta.to(x.dtype).reshape(x.shape), (usable & closes) | there_already


def _multiplier(slope: Tensor, pace: Tensor, room: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The lambda with sum_i slope_i min(lambda pace_i, room_i) = target, (N,), and whether there is one, (N,) bool.

    The sum is concave and piecewise linear in lambda: Newton's steps from 0 approach the solution from below and reach
    it exactly once the set of stopped coordinates is right.
    """
    rates, rooms = slope * pace, slope * room
    breaks = torch.where(rates > 0, room / pace, 0.0)
    multiplier = torch.zeros_like(target)
    while True:
        stopped = breaks <= multiplier[:, None]
        rate = torch.where(stopped, 0.0, rates).sum(1)
        left = target - torch.where(stopped, rooms, 0.0).sum(1)
        # no rate left: every coordinate has stopped before the target, by its lack of room or by rounding
        further = torch.where(rate > 0, left / rate.clamp_min(1e-300), torch.inf)
        if not bool((further > multiplier).any()):
            return multiplier, target <= rooms.sum(1)
        multiplier = torch.maximum(multiplier, further)
