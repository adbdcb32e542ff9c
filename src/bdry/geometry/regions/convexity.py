"""How convex a region is: the share of convex combinations of its images that stay in it (1705.09552, section 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...core.measuring import Model
from ...core.seeds import generator
from ...core.statistics import wilson
from ...errors import did_you_mean
from ...names import WEIGHT_LAWS
from .paths import labels_at

ALL_CLASSES = -1


class TooFewImagesError(ValueError):
    """No predicted class has as many images as are to be combined; the largest has `largest`."""

    def __init__(self, k: int, num_images: int, largest: int) -> None:
        super().__init__(f"k={k}: no region has so many of the {num_images} images; the largest has {largest}")
        self.largest = largest


@dataclass(frozen=True)
class Convexity:
    """One row of the convexity test.

    k: images combined.
    weight_law: "dirichlet" (uniform on the simplex) or "uniform" (their mean).
    region: the predicted class whose images are combined; `ALL_CLASSES` pools all that have k images, equally.
    n: combinations tried.
    hit_rate: share with the region's label; ci_low, ci_high: its 95 % Wilson interval.
    """

    k: int
    weight_law: str
    region: int
    n: int
    hit_rate: float
    ci_low: float
    ci_high: float


@torch.no_grad()
def convex_combinations(
    model: Model,
    x: Tensor,
    *,
    ks: Sequence[int] = (2, 5, 10, 20, 50),
    num_per_class: int = 100,
    weight_law: str = "dirichlet",
    seed: int = 0,
    batch_size: int = 512,
) -> list[Convexity]:
    """For every k, the rows of all predicted classes with k images or more, then one of them all.

    Args:
        model: points (N, ...) to logits (N, K).
        x: (N, ...), images.
        ks: how many different images of a class are combined.
        num_per_class: combinations for each class and k.
        weight_law: Dirichlet(1) weights, or 1/k each.
        seed: of the images combined and their weights.
        batch_size: points in a forward pass.

    Raises:
        ValueError: no such law.
        TooFewImagesError: a k that no class has the images for.
    """
    if weight_law not in WEIGHT_LAWS:
        hint = did_you_mean(weight_law, WEIGHT_LAWS)
        raise ValueError(f"weight_law={weight_law}: no such law of weights{hint} (choices: {', '.join(WEIGHT_LAWS)})")
    predicted = labels_at(model, x, batch_size)
    rows = []
    for k in ks:
        hits: dict[int, int] = {}
        for region in predicted[predicted >= 0].unique().tolist():
            members = (predicted == region).nonzero()[:, 0]
            if len(members) < k:
                continue
            rng = generator(seed, "convex", k, region)
            # the k smallest of random keys: different images in each combination
            keys = torch.rand(num_per_class, len(members), generator=rng)
            chosen = keys.topk(k, dim=1, largest=False).indices
            weights = torch.full((num_per_class, k), 1 / k, dtype=torch.float64)
            if weight_law == "dirichlet":
                weights = -torch.rand(num_per_class, k, dtype=torch.float64, generator=rng).clamp_min(1e-300).log()
                weights /= weights.sum(1, keepdim=True)
            hits[region] = 0
            together = max(1, batch_size // k)
            for some, weight in zip(chosen.split(together), weights.split(together), strict=True):
                mixed = torch.einsum("nk,nk...->n...", weight.to(x), x[members[some.to(x.device)]])
                hits[region] += int((labels_at(model, mixed, batch_size) == region).sum())
        if not hits:
            largest = int(predicted[predicted >= 0].bincount(minlength=1).max())
            raise TooFewImagesError(k, len(x), largest)
        rows += [_row(k, weight_law, region, num_per_class, count) for region, count in hits.items()]
        rows.append(_row(k, weight_law, ALL_CLASSES, num_per_class * len(hits), sum(hits.values())))
    return rows


def _row(k: int, weight_law: str, region: int, n: int, hits: int) -> Convexity:
    return Convexity(k, weight_law, region, n, hits / n, *wilson(hits, n))
