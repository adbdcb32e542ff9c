"""What the classifier says along single segments between borderline instances: IDC's raw material, to look at."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.measuring import Model
from ..core.norms import per_sample
from ..core.seeds import generator
from .pairs import Pair


@dataclass(frozen=True)
class Profiles:
    """Along n segments at evenly spaced points, both ends among them.

    label: (n, grid) int64, the class predicted. p_source, p_target: (n, grid), softmax. length: (n,), l2, pixel units.
    """

    label: Tensor
    p_source: Tensor
    p_target: Tensor
    length: Tensor


@torch.no_grad()
def profiles(model: Model, points: Tensor, pair: Pair, *, seed: int, count: int, grid: int = 201) -> Profiles:
    """The predictions along segments between `count` random pairs of `points`, (N, ...); none for fewer than two."""
    n = len(points)
    draw = generator(seed, "profile", *pair)
    count = count if n > 1 else 0
    first = torch.randint(max(n, 1), (count,), generator=draw)
    second = (first + torch.randint(1, max(n, 2), (count,), generator=draw)) % max(n, 1)
    begin, end = points[first.to(points.device)], points[second.to(points.device)]
    at = per_sample(torch.linspace(0, 1, grid).to(points), points)
    rows = [model(a + at * (b - a)) for a, b in zip(begin, end, strict=True)]
    logits = torch.stack(rows) if rows else points.new_zeros((0, grid, max(pair) + 1))
    p = logits.softmax(2)
    return Profiles(logits.argmax(2), p[..., pair[0]], p[..., pair[1]], (end - begin).flatten(1).norm(dim=1))
