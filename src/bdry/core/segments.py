"""Where a segment crosses the boundary: bracketing root search on the classifier's decision, batched."""

from __future__ import annotations

import torch
from torch import Tensor

from .measuring import Model
from .norms import per_sample


def gap(logits: Tensor, start_class: Tensor) -> Tensor:
    """How far each sample is inside its start class: f_start - max of the others; (N,).

    Below 0 another class is strictly ahead: the sample is beyond the boundary. A tie still counts as inside.
    """
    others = logits.scatter(1, start_class[:, None], -torch.inf)
    return logits.gather(1, start_class[:, None])[:, 0] - others.amax(dim=1)


@torch.no_grad()
def first_crossing(
    model: Model,
    x: Tensor,
    delta: Tensor,
    start_class: Tensor,
    *,
    gap_at_x: Tensor,
    gap_at_end: Tensor,
    tolerance: float = 1e-6,
    max_steps: int = 60,
) -> tuple[Tensor, Tensor]:
    """The t in (0, 1] at which x + t delta leaves the start class, from the far side, and the forward passes spent.

    A bracket [inside, beyond] is narrowed until its width is below `tolerance` relative to `beyond`: by the
    Illinois variant of regula falsi on the gap, by halving where that stalls. The result is `beyond`: the
    label really differs there. On a segment that crosses several times it is one of the crossings.

    Args:
        x, delta: (N, ...), with x in its start class and x + delta beyond it.
        gap_at_x, gap_at_end: (N,), the gap (see `gap`) at both ends, >= 0 and < 0.

    Returns:
        t of shape (N,) and forwards of shape (N,), int64.
    """
    inside, beyond = torch.zeros_like(gap_at_x), torch.ones_like(gap_at_x)
    gap_inside, gap_beyond = gap_at_x.clone(), gap_at_end.clone()
    last_side = torch.zeros_like(gap_at_x)
    forwards = torch.zeros_like(start_class)
    for step in range(max_steps):
        open_rows = (beyond - inside > tolerance * beyond).nonzero()[:, 0]
        if open_rows.numel() == 0:
            break
        low, high = inside[open_rows], beyond[open_rows]
        share = gap_inside[open_rows] / (gap_inside[open_rows] - gap_beyond[open_rows])
        # a share that is not a number (0/0, inf/inf) or every third step: halve, which bounds the number of steps
        halve = ~share.isfinite() | (step % 3 == 2)
        width = high - low
        # stepping half a tolerance to either side of the estimate lets one side of the bracket close
        t = torch.where(halve, low + width / 2, low + share.clamp(0.0, 1.0) * width)
        t = torch.minimum(torch.maximum(t, low + 0.4 * tolerance * high), high - 0.4 * tolerance * high)
        rows = start_class[open_rows]
        value = gap(model(x[open_rows] + per_sample(t, x) * delta[open_rows]), rows)
        forwards[open_rows] += 1
        is_inside = value >= 0
        inside[open_rows] = torch.where(is_inside, t, low)
        beyond[open_rows] = torch.where(is_inside, high, t)
        # Illinois: the end that stays twice in a row counts half
        side = torch.where(is_inside, 1.0, -1.0)
        again = side == last_side[open_rows]
        kept_in, kept_out = gap_inside[open_rows], gap_beyond[open_rows]
        gap_inside[open_rows] = torch.where(is_inside, value, torch.where(again, kept_in / 2, kept_in))
        gap_beyond[open_rows] = torch.where(is_inside, torch.where(again, kept_out / 2, kept_out), value)
        last_side[open_rows] = side
    return beyond, forwards
