"""Component III: bisection of many segments at once down to a point where two classes are equally probable."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.measuring import Model, logits_of
from .evaluation import evaluation_batch

SUCCESS, THIRD, STALLED = "success", "third", "stalled"
OUTCOMES = (SUCCESS, THIRD, STALLED)


@dataclass(frozen=True)
class Bisected:
    """What became of n segments between a point predicted t and one predicted s.

    point: (n, ...), the last midpoint.
    outcome: (n,) int64, a position in `OUTCOMES`.
    attempts: (n,) int64, midpoints tried; each is one forward pass.
    logits: (n, K), at `point`.
    p_source, p_target: (n,), softmax there.
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
        model: images (N, ...) in [0, 1] to logits (N, K).
        on_source: (n, ...), the ends predicted s.
        on_target: (n, ...), the ends predicted t.
        pair: (s, t).
        beta: difference of probabilities.
        max_attempts: midpoints tried; a segment that needs more has stalled.
        batch_size: segments at a time; None: what suits the device.

    A midpoint predicted as a third class ends its segment. In float32 the ends can become neighbours before beta is
    reached: such segments stall as well.

    Source: docs/papers/karimi2020.md (Algorithm 1). Differs: capped, and all segments at once.
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
    n, device = len(low), low.device
    active, classes = torch.arange(n, device=device), torch.tensor(pair, device=device)
    point, logits = torch.empty_like(low), low.new_empty(n, 0)
    outcome = torch.full((n,), OUTCOMES.index(STALLED), device=device)
    attempts = torch.full_like(outcome, max_attempts)
    gaps, ends = low.new_full((n, max_attempts), torch.nan), low.new_full((n, 2, 2), torch.nan)
    # of the active segments alone: the bracket, as parts of the way from low to high, and p_s, p_t at its two ends
    left, right, p_ends = low.new_zeros(n), low.new_ones(n), ends.clone()
    for attempt in range(max_attempts):
        part = (left + right) / 2
        middle = torch.lerp(low, high, part.view(-1, *[1] * (low.ndim - 1)))
        here = logits_of(model, middle)
        if attempt == 0:
            logits = torch.empty_like(here)
        p = here.softmax(1)[:, classes]
        predicted = here.argmax(1)[:, None] == classes
        known = predicted.any(1)
        gap = (p[:, 0] - p[:, 1]).abs()
        gaps[active, attempt] = gap
        going = known & ~(gap < beta)
        moved = predicted & going[:, None]
        left, right = torch.where(moved[:, 0], part, left), torch.where(moved[:, 1], part, right)
        p_ends = torch.where(moved[:, :, None], p[:, None], p_ends)
        last = attempt + 1 == max_attempts
        if not last and going.all():
            continue
        ended = torch.ones_like(going) if last else ~going
        rows = active[ended]
        point[rows], logits[rows], ends[rows] = middle[ended], here[ended], p_ends[ended]
        outcome[active[~known]] = OUTCOMES.index(THIRD)
        outcome[active[known & ~going]] = OUTCOMES.index(SUCCESS)
        attempts[rows] = attempt + 1
        active, low, high, left, right, p_ends = (kept[~ended] for kept in (active, low, high, left, right, p_ends))
        if active.numel() == 0:
            break
    at_point = logits.softmax(1)[:, classes]
    return point, outcome, attempts, logits, at_point[:, 0], at_point[:, 1], gaps, ends[:, 0], ends[:, 1]
