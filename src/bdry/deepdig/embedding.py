"""Two dimensions of feature space in which the features of two classes and their boundary can be looked at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

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

    Source: the paper's figures 4 to 6, as an author tells (docs/papers/karimi2020.md, Errors of the code).
    """
    from sklearn.decomposition import PCA

    if min(features.shape) < 2:
        return None
    found = PCA(2, svd_solver="full").fit(features.detach().cpu().numpy().astype(np.float64))
    return Embedding(found.mean_, found.components_)
