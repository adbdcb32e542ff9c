"""Where a segment crosses the boundary: bracketing root search on the classifier's decision, batched."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .measuring import Model, logits_of
from .norms import per_sample

# how much further than the crossing a point is taken, one after the other, until its label surely differs
PUSHES = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.02, 0.04, 0.07, 0.1, 0.2, 0.4, 1.0)

# an image whose gap is below so many roundings is near the boundary: 0.8 % of the largest logit in float32
NEAR = 16_384
# so many times the size of the two largest logits is no logit of its own, but a mask
MASKED = 1e6
# where rounding may turn a label, it is tried in batches of so many copies; the larger where the images come so too
COPIES, ALWAYS = (1, 2, 3, 8, 32), 8


def gap(logits: Tensor, start_class: Tensor, towards: Tensor | None = None) -> Tensor:
    """How far each sample is from the boundary that is looked for, in logits: below 0 it is beyond; (N,).

    f_start - max of the others; or, `towards` a class t, max of the others - f_t. A tie is not beyond yet.
    """
    own = start_class if towards is None else towards
    others = logits.scatter(1, own[:, None], -torch.inf).amax(dim=1)
    difference = logits.gather(1, own[:, None])[:, 0] - others
    return difference if towards is None else -difference


def largest_logit(logits: Tensor) -> Tensor:
    """The size of the largest logit, whatever its sign, of the classes that are not masked; (N,).

    A class is masked at -inf, or by a number such as -1e9: one `MASKED` times as large as the two largest logits.
    """
    sizes = logits.detach().nan_to_num(0.0, 0.0, 0.0).abs()
    first_two = logits.detach().nan_to_num(0.0, 0.0, -torch.inf).topk(2).values.nan_to_num(0.0, 0.0, 0.0).abs().amax(1)
    bound = torch.where(first_two > 0, MASKED * first_two, torch.inf)
    return torch.where(sizes <= bound[:, None], sizes, 0.0).amax(1)


def rounding(logits: Tensor) -> Tensor:
    """How much rounding may move the gap in a batch of another size: 4 eps of the largest logit; (N,)."""
    return 4 * torch.finfo(logits.dtype).eps * largest_logit(logits)


def clearly_beyond(logits: Tensor, start_class: Tensor) -> Tensor:
    """Whether the gap is below 0 by more than rounding, which may vanish in a batch of another size; (N,)."""
    return gap(logits, start_class) < -rounding(logits)


def batch_sizes(num_images: int) -> list[int]:
    """Of the batches in which a label is tried that rounding may turn, where `num_images` come together."""
    return [size for size in COPIES if size <= max(ALWAYS, num_images)]


def bracketed_root(
    value_at: Callable[[Tensor, Tensor], Tensor],
    low: Tensor,
    high: Tensor,
    value_low: Tensor,
    value_high: Tensor,
    *,
    tolerance: float = 1e-6,
    max_steps: int = 60,
) -> tuple[Tensor, Tensor]:
    """Where a function of one variable turns negative between `low`, where it is not, and `high`, where it is.

    Narrows each bracket until its width is at most `tolerance` relative to the end of larger size: by the Illinois
    variant of regula falsi, by halving every third time. A function that turns several times has one of them found.

    Args:
        value_at: (rows, (R,) indices; t, (R,)) -> (R,), the function of these rows at t.
        low, high: (N,), the ends; either may be the larger number.
        value_low, value_high: (N,), the function there: >= 0 and < 0.
        tolerance: relative width. max_steps: evaluations at most.

    Returns:
        The two ends of the last brackets, (N,) each.
    """
    low, high, value_low, value_high = (end.clone() for end in (low, high, value_low, value_high))
    last_side = torch.zeros_like(low)
    for step in range(max_steps):
        size = torch.maximum(low.abs(), high.abs())
        rows = ((high - low).abs() > tolerance * size).nonzero()[:, 0]
        if rows.numel() == 0:
            break
        a, b, f_a, f_b = low[rows], high[rows], value_low[rows], value_high[rows]
        share = f_a / (f_a - f_b)
        # halving bounds the number of steps; a share that is not a number (0/0) needs it too
        halve = ~share.isfinite() | (step % 3 == 2)
        # a step off the ends, smaller than the tolerance, lets the bracket close around an estimate that was right
        off = (0.4 * tolerance * size[rows] / (b - a).abs()).clamp_max(0.4)
        share = torch.where(halve, 0.5, share.clamp(0.0, 1.0))
        t = a + torch.minimum(torch.maximum(share, off), 1 - off) * (b - a)
        value = value_at(rows, t)
        is_low = value >= 0
        low[rows], high[rows] = torch.where(is_low, t, a), torch.where(is_low, b, t)
        # Illinois: the end that stays twice in a row counts half
        side = torch.where(is_low, 1.0, -1.0)
        half = torch.where(side == last_side[rows], 0.5, 1.0)
        value_low[rows] = torch.where(is_low, value, half * f_a)
        value_high[rows] = torch.where(is_low, half * f_b, value)
        last_side[rows] = side.to(low.dtype)
    return low, high


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
    clipped: bool = False,
    ignored: Tensor | None = None,
    noise: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Where x + t delta leaves the start class, or enters the class `towards`, for t > 0.

    Found to 1e-6 (see `bracketed_root`), then taken a hundred-thousandth further, or as little more as it takes for a
    label that differs. Hence t may exceed 1 where the end itself is within rounding of the boundary.

    Args:
        x, delta: (N, ...), with x + delta beyond the boundary. towards: (N,), classes to reach, or None.
        gap_at_x, gap_at_end: (N,), the gap (see `gap`) at both ends, >= 0 and < 0.
        clipped: points are brought into the [0, 1] box.
        ignored: (N, K) bool, classes that count for no boundary.
        noise: (N,), how much rounding may move a gap: the label must differ by more, or else also in batches of several
            sizes; in these in any case where x is near the boundary. None: it must differ.

    Returns:
        t, (N,); the label there, (N,), -1 where rounding never let it differ; forward passes spent, (N,) int64.
    """
    forwards = torch.zeros_like(start_class)

    def look(rows: Tensor, t: Tensor) -> Tensor:
        forwards.index_add_(0, rows, torch.ones_like(rows))
        logits = logits_of(model, along(x[rows], delta[rows], t, clipped))
        return logits if ignored is None else logits.masked_fill(ignored[rows], -torch.inf)

    def gap_at(rows: Tensor, t: Tensor) -> Tensor:
        return gap(look(rows, t), start_class[rows], pick(towards, rows)).to(x.dtype)

    ends = [value.to(x.dtype) for value in (gap_at_x, gap_at_end)]
    _, crossing = bracketed_root(gap_at, torch.zeros_like(ends[0]), torch.ones_like(ends[0]), *ends)
    t, label = crossing.clone(), torch.full_like(start_class, -1)
    for number in range(len(PUSHES) + 1):
        rows = (label < 0).nonzero()[:, 0]
        if rows.numel() == 0:
            break
        # at last the end itself, which may lie in a thin region
        t[rows] = crossing[rows] * (1 + PUSHES[number]) if number < len(PUSHES) else 1.0
        logits = look(rows, t[rows])
        value = gap(logits, start_class[rows], pick(towards, rows))
        sure = differs = value < 0
        if noise is not None:
            sure = (value < -noise[rows]) & (gap_at_x[rows] > NEAR * noise[rows])
        for place in (differs & ~sure).nonzero()[:, 0]:
            copies = [rows[place].expand(size) for size in batch_sizes(len(x))]
            sure[place] = all(bool((gap_at(same, t[same]) < 0).all()) for same in copies)
        label[rows] = torch.where(sure, logits.argmax(1), -1)
    return t, label, forwards


def along(x: Tensor, delta: Tensor, t: Tensor, clipped: bool) -> Tensor:
    """x + t delta, in the [0, 1] box where `clipped`; (N, ...) from t, (N,)."""
    point = x + per_sample(t, x) * delta
    return point.clamp(0, 1) if clipped else point


def pick(values: Tensor | None, rows: Tensor) -> Tensor | None:
    """The `rows` of an optional per-sample tensor."""
    return None if values is None else values[rows]
