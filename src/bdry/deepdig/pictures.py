"""To look at: a plane of feature space with two classes and their boundary, and single segments' predictions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..core.measuring import Model, logits_of
from ..core.norms import per_sample
from ..core.seeds import generator
from .recipe import Pair
from .separability import Plane

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Embedding:
    """The affine plane through `mean`, (F,), along the orthonormal rows of `axes`, (2, F)."""

    mean: Array
    axes: Array

    def project(self, features: Tensor) -> Array:
        """Coordinates, (N, F) -> (N, 2)."""
        return (features.detach().cpu().numpy().astype(np.float64) - self.mean) @ self.axes.T

    def line(self, plane: Plane) -> Array:
        """Where `plane` cuts the two dimensions: (3,), a, b, c of the line a u + b v + c = 0 in coordinates (u, v)."""
        return np.array([*(self.axes @ plane.normal), float(self.mean @ plane.normal) + plane.offset])


def principal_embedding(features: Tensor) -> Embedding | None:
    """The first two principal components of features, (N, F); None with fewer than two features or dimensions.

    Args:
        features: (N, F).

    Source: docs/papers/karimi2020.md (figures 4 to 6).
    """
    from sklearn.decomposition import PCA

    if min(features.shape) < 2:
        return None
    found = PCA(2, svd_solver="full").fit(features.detach().cpu().numpy().astype(np.float64))
    return Embedding(found.mean_, found.components_)


@dataclass(frozen=True)
class Profiles:
    """Along n segments at evenly spaced points, both ends among them.

    label: (n, grid) int64, the class predicted.
    p_source, p_target: (n, grid), softmax.
    length: (n,), l2, pixel units.
    """

    label: Tensor
    p_source: Tensor
    p_target: Tensor
    length: Tensor


@torch.no_grad()
def profiles(model: Model, points: Tensor, pair: Pair, *, seed: int, count: int, grid: int = 201) -> Profiles:
    """The predictions along segments between `count` random pairs of `points`, (N, ...); none for fewer than two.

    Args:
        model: images (N, ...) in [0, 1] to logits (N, K).
        points: (N, ...), borderline instances.
        pair: (s, t), whose probabilities are kept.
        seed: of the pairs of points.
        count: segments.
        grid: points on each, both ends included.
    """
    n = len(points)
    rng = generator(seed, "profile", *pair)
    count = count if n > 1 else 0
    first = torch.randint(max(n, 1), (count,), generator=rng)
    second = (first + torch.randint(1, max(n, 2), (count,), generator=rng)) % max(n, 1)
    begin, end = points[first.to(points.device)], points[second.to(points.device)]
    at = per_sample(torch.linspace(0, 1, grid).to(points), points)
    rows = [logits_of(model, a + at * (b - a)) for a, b in zip(begin, end, strict=True)]
    logits = torch.stack(rows) if rows else points.new_zeros((0, grid, max(pair) + 1))
    p = logits.softmax(2)
    return Profiles(logits.argmax(2), p[..., pair[0]], p[..., pair[1]], (end - begin).flatten(1).norm(dim=1))
