"""What the iterative estimators share: a memory of the best point met, its costs and failures; a cosine decay."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.measuring import Model
from ..core.norms import norm as norm_of
from ..core.segments import clearly_beyond, gap, pick
from ..errors import UsageError
from .result import MarginResult, bisected


def cosine(step: int, steps: int, first: float, last: float) -> float:
    """From `first` at step 0 to `last` at the last of `steps`, along half a cosine."""
    return last + (first - last) * (1 + math.cos(math.pi * step / max(steps - 1, 1))) / 2


class Search:
    """What a search around N images has met so far: the nearest point beyond the boundary, and what it cost.

    distance: (N,), of `best`, (N, ...), in `norm`; infinite where nothing has been found yet.
    start: (N,), the start classes. iterations, forwards, backwards: (N,) int64.
    """

    def __init__(
        self, model: Model, x: Tensor, start_class: Tensor | None, *, norm: str, towards: Tensor | None
    ) -> None:
        n = len(x)
        self.model, self.x, self.norm, self.towards = model, x.detach(), norm, towards
        self.forwards, self.backwards, self.iterations = (
            torch.zeros(n, dtype=torch.int64, device=x.device) for _ in range(3)
        )
        self.best = self.x.clone()
        self.distance = torch.full((n,), torch.inf, dtype=x.dtype, device=x.device)
        self.best_gap = torch.full_like(self.distance, torch.nan)
        with torch.no_grad():
            logits = model(self.x)
        self.start = logits.argmax(1) if start_class is None else start_class
        self.start_gap = gap(logits, self.start, towards)
        self.finite = logits.isfinite().all(1) & self.x.flatten(1).isfinite().all(1)
        self._record(torch.arange(n, device=x.device), self.x, logits)

    def open_rows(self) -> Tensor:
        """The images that are numbers and not beyond the boundary themselves: indices, (R,)."""
        return (self.finite & (self.distance > 0)).nonzero()[:, 0]

    def evaluate(self, rows: Tensor, z: Tensor, *, graph: bool = True) -> tuple[Tensor, Tensor, Tensor]:
        """The points z, (R, ...), of images `rows` as a leaf, the logits there, and which are beyond, (R,) bool."""
        with torch.set_grad_enabled(graph):
            z = z.detach().requires_grad_(graph)
            logits = self.model(z)
        return z, logits, self._record(rows, z.detach(), logits.detach())

    def _record(self, rows: Tensor, z: Tensor, logits: Tensor) -> Tensor:
        self.forwards[rows] += 1
        towards = pick(self.towards, rows)
        beyond = clearly_beyond(logits, self.start[rows], towards) & self.finite[rows]
        distance = norm_of(z - self.x[rows], self.norm)
        better = beyond & (distance < self.distance[rows])
        kept = rows[better]
        self.best[kept], self.distance[kept] = z[better], distance[better]
        self.best_gap[kept] = gap(logits, self.start[rows], towards)[better]
        return beyond

    def loss(self, rows: Tensor, logits: Tensor, name: str) -> Tensor:
        """What falls on the way to the boundary, (R,): "gap", in logits; "dlr"; or "ce", minus the cross-entropy.

        dlr: the gap over the largest minus the third largest logit (arXiv 2003.01690, section 4.2). Towards a class,
        ce is the cross-entropy on that class.
        """
        start, towards = self.start[rows], pick(self.towards, rows)
        with torch.enable_grad():
            if name == "ce":
                if towards is None:
                    return -F.cross_entropy(logits, start, reduction="none")
                return F.cross_entropy(logits, towards, reduction="none")
            value = gap(logits, start, towards)
            if name == "gap":
                return value
            if logits.shape[1] < 3:
                raise UsageError("margin.loss=dlr: needs three classes; loss=gap does two")
            top = logits.topk(3, dim=1).values
            return value / (top[:, 0] - top[:, 2]).clamp_min(torch.finfo(value.dtype).eps)

    def gradient(self, rows: Tensor, z: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """The gradient of `value` at the leaf z, (R, ...), and where both are finite, (R,) bool."""
        found = torch.autograd.grad(value.sum(), z)[0]
        self.backwards[rows] += 1
        return found, value.detach().isfinite() & found.flatten(1).isfinite().all(1)

    def result(self) -> MarginResult:
        """Bisection between each image and the best point; rows without one are failures."""
        return bisected(
            self.model,
            self.x,
            self.best,
            self.start,
            self.distance.isfinite(),
            norm=self.norm,
            towards=self.towards,
            start_gap=self.start_gap,
            end_gap=self.best_gap,
            iterations=self.iterations,
            forwards=self.forwards,
            backwards=self.backwards,
        )
