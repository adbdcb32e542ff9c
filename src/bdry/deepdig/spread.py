"""How far the members of a set are from each other: what collapses when an autoencoder makes one image of all."""

from __future__ import annotations

import torch
from torch import Tensor

# the mean over pairs of this many members is that of all within a few per mille
MAX_MEMBERS = 1000


@torch.no_grad()
def spread(x: Tensor) -> float:
    """Mean pairwise l2 distance of images or features, (N, ...), from at most `MAX_MEMBERS` evenly taken members.

    nan for fewer than two.

    Args:
        x: (N, ...).
    """
    n = len(x)
    if n < 2:
        return float("nan")
    if n > MAX_MEMBERS:
        x = x[torch.arange(MAX_MEMBERS, device=x.device) * n // MAX_MEMBERS]
    # around their mean, or the distances of a collapsed set drown in the rounding of its norms
    flat = (x - x.mean(0)).flatten(1)
    members = len(flat)
    return float(torch.cdist(flat, flat).double().sum()) / (members * (members - 1))


def boundary_divergence(points: Tensor, rng: torch.Generator, num_differences: int = 200) -> tuple[float, float]:
    """1 - mean |cos| between differences of random pairs of `points`, (N, ...), and the same of random points.

    The random points are independent normal in every coordinate, with the deviation that `points` have there: in many
    dimensions the measure is near 1 whatever the boundary. nan for fewer than four points.

    Args:
        points: (N, ...).
        rng: of the pairs and the random points, of the CPU.
        num_differences: differences of each kind.

    Source: docs/papers/karimi2020.md; the reference is ours.
    """
    if len(points) < 4:
        return float("nan"), float("nan")
    flat = points.flatten(1).cpu()
    random = torch.randn(flat.shape, generator=rng) * flat.std(0)
    first = torch.randint(len(flat), (num_differences,), generator=rng)
    second = (first + torch.randint(1, len(flat), (num_differences,), generator=rng)) % len(flat)
    return _divergence(flat[first] - flat[second]), _divergence(random[first] - random[second])


def _divergence(differences: Tensor) -> float:
    unit = torch.nn.functional.normalize(differences.double())
    cosines = (unit @ unit.T).abs()
    off_diagonal = ~torch.eye(len(unit), dtype=torch.bool)
    return 1 - float(cosines[off_diagonal].mean())
