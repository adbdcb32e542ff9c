"""The boundary points that margins lead to, to be kept as arrays: what a picture of a margin needs."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn

from ...data import Split
from ...margins import Estimator


def nearest_points(
    classifier: nn.Module,
    images: Mapping[str, Split],
    estimators: Mapping[str, Estimator],
    norms: Sequence[str],
    clipped: Sequence[bool],
) -> dict[str, np.ndarray]:
    """The nearest boundary point of every image by each estimator, norm and box; failures are left out.

    `classifier` is in the state that `core.measuring` makes. Every array has a row a point: split, index and label of
    its image, norm, clipped, estimator, margin and boundary_class as in the table margins, image (uint8) and point
    (float32, pixel units of [0, 1]), both (n, C, H, W).
    """
    parts = []
    for (name, split), norm, in_box in itertools.product(images.items(), norms, clipped):
        x = split.pixels()
        for estimator_name, estimator in estimators.items():
            result = estimator(classifier, x, norm=norm, clipped=in_box)
            found = result.success
            rows = int(found.sum())
            about = {"split": name, "norm": norm, "clipped": in_box, "estimator": estimator_name}
            columns: dict[str, torch.Tensor] = {
                "index": split.index,
                "label": split.labels,
                "margin": result.margin,
                "boundary_class": result.boundary_class,
                "image": split.images,
                "point": result.point,
            }
            parts.append(
                {key: np.full(rows, value) for key, value in about.items()}
                | {key: column[found].cpu().numpy() for key, column in columns.items()}
            )
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
