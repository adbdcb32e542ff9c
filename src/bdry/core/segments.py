"""Where a segment crosses the boundary: bracketing root search on the classifier's decision, batched."""

from __future__ import annotations

import torch
from torch import Tensor

from .measuring import Model
from .norms import per_sample


def gap(logits: Tensor, start_class: Tensor, towards: Tensor | None = None) -> Tensor:
    """How far each sample is from the boundary that is looked for, in logits: below 0 it is beyond; (N,).

    f_start - max of the others; or, `towards` a class t, max of the others - f_t. A tie is not beyond yet.
    """
    own = start_class if towards is None else towards
    others = logits.scatter(1, own[:, None], -torch.inf).amax(dim=1)
    difference = logits.gather(1, own[:, None])[:, 0] - others
    return difference if towards is None else -difference


def clearly_beyond(logits: Tensor, start_class: Tensor, towards: Tensor | None = None) -> Tensor:
    """Whether the gap is below 0 by more than rounding, which may vanish in a batch of another size; (N,)."""
    return gap(logits, start_class, towards) < -4 * torch.finfo(logits.dtype).eps * logits.abs().amax(dim=1)


@torch.no_grad()
def first_crossing(
    model: Model,
    x: Tensor,
    delta: Tensor,
    start_class: Tensor,
    *,
    towards: Tensor | None = None,
    gap_at_x: Tensor,
    gap_at_end: Tensor,
    tolerance: float = 1e-6,
    max_steps: int = 60,
) -> tuple[Tensor, Tensor, Tensor]:
    """Where x + t delta leaves the start class, or enters the class `towards`, for t in (0, 1].

    A bracket [inside, beyond] is narrowed until its width is below `tolerance` relative to `beyond`: by the
    Illinois variant of regula falsi on the gap, by halving where that stalls. The result is a hundred-thousandth
    further, where the label is looked up once more. On a segment that crosses several times it is one of the crossings.

    Args:
        x, delta: (N, ...), with x + delta beyond the boundary. towards: (N,), classes to reach, or None.
        gap_at_x, gap_at_end: (N,), the gap (see `gap`) at both ends, >= 0 and < 0.

    Returns:
        t, (N,); the label there, (N,), -1 where rounding never let it differ; forward passes spent, (N,) int64.
    """
    inside, beyond = torch.zeros_like(gap_at_x), torch.ones_like(gap_at_x)
    gap_inside, gap_beyond = gap_at_x.clone(), gap_at_end.clone()
    last_side = torch.zeros_like(start_class)
    forwards = torch.zeros_like(start_class)
    for step in range(max_steps):
        rows = (beyond - inside > tolerance * beyond).nonzero()[:, 0]
        if rows.numel() == 0:
            break
        low, high = inside[rows], beyond[rows]
        share = gap_inside[rows] / (gap_inside[rows] - gap_beyond[rows])
        # halving every third step bounds the number of steps; a share that is not a number (0/0) needs it too
        halve = ~share.isfinite() | (step % 3 == 2)
        t = low + torch.where(halve, 0.5, share.clamp(0.0, 1.0)) * (high - low)
        # a step off the ends, smaller than the tolerance, lets the bracket close around an estimate that was right
        t = torch.minimum(torch.maximum(t, low + 0.4 * tolerance * high), high - 0.4 * tolerance * high)
        value = gap(model(x[rows] + per_sample(t, x) * delta[rows]), start_class[rows], pick(towards, rows))
        forwards[rows] += 1
        is_inside = value >= 0
        inside[rows] = torch.where(is_inside, t, low)
        beyond[rows] = torch.where(is_inside, high, t)
        # Illinois: the end that stays twice in a row counts half
        side = torch.where(is_inside, 1, -1)
        again = side == last_side[rows]
        kept_in, kept_out = gap_inside[rows], gap_beyond[rows]
        gap_inside[rows] = torch.where(is_inside, value, torch.where(again, kept_in / 2, kept_in))
        gap_beyond[rows] = torch.where(is_inside, torch.where(again, kept_out / 2, kept_out), value)
        last_side[rows] = side
    label = torch.full_like(start_class, -1)
    # pushed a little further, so that the label differs in a batch of another size too
    for push in (1e-5, 1e-5, 1e-4, 1e-3, 1e-2, 1.0):
        rows = (label < 0).nonzero()[:, 0]
        if rows.numel() == 0:
            break
        beyond[rows] = (beyond[rows] * (1 + push)).clamp_max(1.0)
        found = model(x[rows] + per_sample(beyond[rows], x) * delta[rows]).argmax(1)
        forwards[rows] += 1
        there = found != start_class[rows] if towards is None else found == towards[rows]
        label[rows] = torch.where(there, found, -1)
    return beyond, label, forwards


def pick(values: Tensor | None, rows: Tensor) -> Tensor | None:
    """The `rows` of an optional per-sample tensor."""
    return None if values is None else values[rows]
