"""Two-dimensional toys: points of the unit square, held as 1x1x2 images of 256 levels.

The horizontal coordinate is the first pixel, the vertical one the second. The classes' shapes follow
scikit-learn's generators; points that noise carries out of the square are put back on its edge.
"""

from __future__ import annotations

import numpy as np
import torch

from .dataset import DATASETS, Dataset, Split

Points = np.ndarray


@DATASETS.register("blobs")
def blobs(num_points: int, noise: float, num_classes: int, seed: int) -> Dataset:
    """Gaussian blobs of standard deviation `noise` whose centres lie on a circle of radius 0.3 around (0.5, 0.5)."""
    draw = np.random.default_rng(seed)
    labels = np.arange(num_points) % num_classes
    angle = 2 * np.pi * labels / num_classes
    centres = 0.5 + 0.3 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return _dataset("blobs", centres, labels, noise, draw, num_classes)


@DATASETS.register("moons")
def moons(num_points: int, noise: float, seed: int) -> Dataset:
    """Two interleaved half circles of radius 0.25."""
    draw = np.random.default_rng(seed)
    labels = np.arange(num_points) % 2
    angle = np.pi * draw.random(num_points)
    upper = np.stack([np.cos(angle), np.sin(angle) - 0.25], axis=1)
    lower = np.stack([1 - np.cos(angle), 0.25 - np.sin(angle)], axis=1)
    points = np.where(labels[:, None] == 0, upper, lower) - np.array([0.5, 0.0])
    return _dataset("moons", 0.5 + 0.25 * points, labels, noise, draw, 2)


@DATASETS.register("circles")
def circles(num_points: int, noise: float, seed: int) -> Dataset:
    """A circle of radius 0.2 (class 0) inside one of radius 0.4 (class 1)."""
    draw = np.random.default_rng(seed)
    labels = np.arange(num_points) % 2
    angle = 2 * np.pi * draw.random(num_points)
    radius = np.where(labels == 0, 0.2, 0.4)
    points = 0.5 + radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return _dataset("circles", points, labels, noise, draw, 2)


@DATASETS.register("sectors")
def sectors(num_points: int, noise: float, seed: int) -> Dataset:
    """Quarter rings around the corner (0, 0), uniform in area: radii 0.25-0.5 (class 0) and 0.71-1 (class 1).

    Without noise the line x + y = 0.7071 separates them, as in the sectors of li2018.
    """
    draw = np.random.default_rng(seed)
    labels = np.arange(num_points) % 2
    inner, outer = np.where(labels == 0, 0.25, 0.71), np.where(labels == 0, 0.5, 1.0)
    radius = np.sqrt(inner**2 + (outer**2 - inner**2) * draw.random(num_points))
    angle = np.pi / 2 * draw.random(num_points)
    points = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return _dataset("sectors", points, labels, noise, draw, 2)


@DATASETS.register("plates")
def plates(num_points: int, noise: float, seed: int, margin: float) -> Dataset:
    """The unit square, uniform, without the strip |x + y - 1| < `margin`: class 0 above it, class 1 below.

    Source: docs/papers/li2018.md, The authors' runs.
    """
    draw = np.random.default_rng(seed)
    labels = np.arange(num_points) % 2
    corner = draw.random((num_points, 2))
    # the half of the square beyond the diagonal, folded back
    corner = np.where(corner.sum(1, keepdims=True) > 1, 1 - corner, corner)
    below = (1 - margin) * corner
    return _dataset("plates", np.where(labels[:, None] == 0, 1 - below, below), labels, noise, draw, 2)


@DATASETS.register("disc")
def disc(num_points: int, noise: float, seed: int, margin: float) -> Dataset:
    """The disc of radius 0.2 - `margin` around (0.5, 0.5) (class 0), and the square beyond 0.2 + `margin` (class 1).

    Source: docs/papers/li2018.md, The authors' runs.
    """
    draw = np.random.default_rng(seed)
    labels = np.arange(num_points) % 2
    angle = 2 * np.pi * draw.random(num_points)
    radius = (0.2 - margin) * np.sqrt(draw.random(num_points))
    inside = 0.5 + radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    # at least half of the square is beyond the disc
    square = draw.random((4 * num_points + 50, 2))
    outside = square[np.hypot(*(square - 0.5).T) > 0.2 + margin][:num_points]
    return _dataset("disc", np.where(labels[:, None] == 0, inside, outside), labels, noise, draw, 2)


def _dataset(
    name: str, points: Points, labels: np.ndarray, noise: float, draw: np.random.Generator, num_classes: int
) -> Dataset:
    noisy = points + noise * draw.standard_normal(points.shape)
    levels = np.clip(np.rint(255 * noisy), 0, 255).astype(np.uint8)
    images = torch.from_numpy(levels).reshape(-1, 1, 1, 2)
    every = Split(images, torch.from_numpy(labels.astype(np.int64)), torch.arange(len(labels)))
    # classes alternate by row, so groups of `num_classes` rows keep both splits balanced
    is_test = (every.index // num_classes) % 3 == 2
    return Dataset(name, every[~is_test], every[is_test], tuple(map(str, range(num_classes))))
