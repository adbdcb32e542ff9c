"""Points of the feature space at which a layer and an SVM are asked for the same label."""

from __future__ import annotations

import torch
from torch import Tensor


def grid_points(features: Tensor, labels: Tensor, generator: torch.Generator, count: int = 30000) -> Tensor:
    """(`count`, d) points, drawn on the CPU.

    Two features: uniform in the features' box enlarged by a tenth. More: half on segments between samples of
    different class, half on the plane through the means of three classes (two where there are no more), in the box of
    the samples' coordinates on it.

    Args:
        features: (N, d).
        labels: (N,) int64.
        generator: a generator of the CPU.
        count: points.

    Source: docs/papers/li2018.md.
    """
    features, device = features.detach().double().cpu(), features.device
    labels = labels.cpu()
    if features.shape[1] == 2:
        return _in_box(features, count, generator).to(device)
    first, second = (torch.randint(len(features), (4 * count,), generator=generator) for _ in range(2))
    different = (labels[first] != labels[second]).nonzero()[: count // 2, 0]
    share = torch.rand(len(different), 1, dtype=torch.float64, generator=generator)
    segments = share * features[first[different]] + (1 - share) * features[second[different]]
    means = torch.stack([features[labels == label].mean(0) for label in labels.unique()[:3].tolist()])
    axes = torch.linalg.qr((means[1:] - means[0]).T).Q
    plane = means[0] + _in_box((features - means[0]) @ axes, count - len(segments), generator) @ axes.T
    return torch.cat([segments, plane]).to(device)


def _in_box(points: Tensor, count: int, generator: torch.Generator) -> Tensor:
    low, high = points.amin(0), points.amax(0)
    share = 1.1 * torch.rand(count, points.shape[1], dtype=torch.float64, generator=generator) - 0.05
    return low + share * (high - low)
