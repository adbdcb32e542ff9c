"""Component III: bisection of many segments at once down to a point where two classes are equally probable."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.measuring import Model
from .batches import evaluation_batch

SUCCESS, THIRD, STALLED = "success", "third", "stalled"
OUTCOMES = (SUCCESS, THIRD, STALLED)


@dataclass(frozen=True)
class Bisected:
    """What became of n segments between a point predicted t and one predicted s.

    point: (n, ...), the last midpoint. outcome: (n,) int64, a position in `OUTCOMES`. attempts: (n,) int64, midpoints
    tried; each is one forward pass. logits: (n, K), at `point`. p_source, p_target: (n,), softmax there.
    gaps: (n, max_attempts), |p_s - p_t| at each midpoint, nan after the last.
    low, high: (n, 2), p_s and p_t at the last bracket's end on the side of s and of t; nan where an end never moved.
    """

    point: Tensor
    outcome: Tensor
    attempts: Tensor
    logits: Tensor
    p_source: Tensor
    p_target: Tensor
    gaps: Tensor
    low: Tensor
    high: Tensor

    @property
    def success(self) -> Tensor:
        """(n,) bool."""
        return self.outcome == OUTCOMES.index(SUCCESS)

    def count(self, outcome: str) -> int:
        """How many segments ended so; the three counts add up to n."""
        return int((self.outcome == OUTCOMES.index(outcome)).sum())


@torch.no_grad()
def bisect(
    model: Model,
    on_source: Tensor,
    on_target: Tensor,
    pair: tuple[int, int],
    *,
    beta: float = 1e-4,
    max_attempts: int = 40,
    batch_size: int | None = None,
) -> Bisected:
    """Halves each segment until |p_s - p_t| < beta at a midpoint predicted s or t.

    Args:
        on_source, on_target: (n, ...), the ends, predicted s and t. pair: (s, t).
        beta: difference of probabilities. max_attempts: midpoints tried; a segment that needs more has stalled.
        batch_size: segments at a time; None: what suits the device.

    A midpoint predicted as a third class ends its segment. In float32 the ends can become neighbours before beta is
    reached: such segments stall as well.

    Source: karimi2020 section 1.4 (Algorithm 1). Differs: capped, and all segments at once.
    """
    batch_size = batch_size or evaluation_batch(on_source)
    parts = [
        _bisect(model, low, high, pair, beta, max_attempts)
        for low, high in zip(on_source.split(batch_size), on_target.split(batch_size), strict=True)
    ]
    return Bisected(*(torch.cat(columns) for columns in zip(*parts, strict=True)))


def _bisect(
    model: Model, low: Tensor, high: Tensor, pair: tuple[int, int], beta: float, max_attempts: int
) -> tuple[Tensor, ...]:
    s, t = pair
    n, device = len(low), low.device
    low, high = low.clone(), high.clone()
    point = (low + high) / 2
    outcome = torch.full((n,), OUTCOMES.index(STALLED), device=device)
    attempts = torch.zeros_like(outcome)
    logits = model(point)
    gaps = logits.new_full((n, max_attempts), torch.nan)
    p_low, p_high = logits.new_full((n, 2), torch.nan), logits.new_full((n, 2), torch.nan)
    for attempt in range(max_attempts):
        if attempt == 0:
            active, here = torch.arange(n, device=device), logits
        else:
            point[active] = (low[active] + high[active]) / 2
            here = model(point[active])
            logits[active] = here
        attempts[active] += 1
        label = here.argmax(1)
        both = here.softmax(1)[:, [s, t]]
        gap = (both[:, 0] - both[:, 1]).abs()
        gaps[active, attempt] = gap
        third = (label != s) & (label != t)
        near = ~third & (gap < beta)
        outcome[active[third]] = OUTCOMES.index(THIRD)
        outcome[active[near]] = OUTCOMES.index(SUCCESS)
        going = ~third & ~near
        back, ahead = active[going & (label == s)], active[going & (label == t)]
        low[back], p_low[back] = point[back], both[going & (label == s)]
        high[ahead], p_high[ahead] = point[ahead], both[going & (label == t)]
        active = active[going]
        if active.numel() == 0:
            break
    p = logits.softmax(1)
    return point, outcome, attempts, logits, p[:, s], p[:, t], gaps, p_low, p_high
