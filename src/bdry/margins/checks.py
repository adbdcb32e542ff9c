"""Estimators against closed forms: affine classifiers with images at known distances, at odd scales of the logits."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..core.norms import dual_norm
from ..core.norms import norm as norm_of
from ..core.segments import rounding
from .result import Abilities, Estimator

# distance of every image in pixel units (None: whatever it is), scale of the logits, and a number added to all of them
CASES = (
    (None, 1.0, 0.0),
    (1e-2, 1.0, 0.0),
    (1e-4, 1.0, 0.0),
    (1e-5, 1.0, 0.0),
    (1e-6, 1.0, 0.0),
    (1e-6, 1e20, 0.0),
    (1e-6, 1e-20, 0.0),
    (0.1, 1.0, 1e4),
)
# relative, where float32 has few digits left for the distance
NEAR_TOLERANCE = 0.05


class Affine(nn.Module):
    """x -> scale (weight x + bias + shift), for images of `num_pixels`: gradients and `network.trace` can follow it."""

    def __init__(self, num_pixels: int, num_classes: int, scale: float = 1.0, shift: float = 0.0) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(0)
        self.head = nn.Linear(num_pixels, num_classes, device="meta").to_empty(device="cpu")
        weight = torch.randn(num_classes, num_pixels, generator=draw) / num_pixels**0.5
        # logits of mean 0 in the middle of the box
        bias = 0.1 * torch.randn(num_classes, generator=draw) - 0.5 * weight.sum(1)
        self.head.weight.data, self.head.bias.data = scale * weight, scale * (bias + shift)
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, K)."""
        logits: Tensor = self.head(x.flatten(1))
        return logits

    def distances(self, x: Tensor, norm: str) -> tuple[Tensor, Tensor]:
        """min over k of |f_p - f_k| / ||w_p - w_k||_*, (N,), and the w_p - w_k where it is, (N, d); in float64."""
        weight, bias = self.head.weight.double(), self.head.bias.double()
        logits = x.double().flatten(1) @ weight.T + bias
        own = logits.argmax(1)
        normals = weight[own][:, None] - weight
        lengths = dual_norm(normals.flatten(0, 1), norm).reshape(logits.shape)
        distance = (logits.amax(1, keepdim=True) - logits) / lengths
        nearest, other = distance.scatter(1, own[:, None], torch.inf).min(1)
        return nearest, normals[torch.arange(len(x)), other]

    def images(self, count: int, norm: str, distance: float | None) -> Tensor:
        """Images inside the box, (N, 1, 1, d), at about `distance` from the boundary."""
        draw = torch.Generator().manual_seed(2)
        x = 0.1 + 0.8 * torch.rand(count, 1, 1, self.head.in_features, generator=draw)
        if distance is None:
            return x
        for _ in range(4):
            margin, normal = self.distances(x, norm)
            way = normal.sign() if norm == "linf" else normal / norm_of(normal, "l2")[:, None]
            x = (x.double() - ((margin - distance)[:, None] * way).reshape(x.shape)).float().clamp(0, 1)
        return x


def error_on_affine(
    estimator: Estimator,
    abilities: Abilities,
    norm: str,
    distance: float | None,
    scale: float,
    shift: float = 0.0,
    count: int = 6,
) -> float:
    """The largest relative difference of the estimator's margins and bounds from the closed form.

    Infinite where a margin is missing or a point has the image's own label.
    """
    model = Affine(abilities.num_pixels or 4, 5, scale, shift)
    x = model.images(count, norm, distance)
    truth, normal = model.distances(x, norm)
    found = estimator(model, x, norm=norm)
    errors = []
    if abilities.finds_points:
        alone = torch.cat([model(point[None]).argmax(1) for point in found.point])
        wrong = ~found.success | (alone == found.start_class)
        # pixels have a spacing, which nobody can do better than
        spacing = torch.finfo(x.dtype).eps / 2
        errors.append(torch.where(wrong, torch.inf, ((found.margin - truth).abs() - spacing) / truth))
    if abilities.certifies:
        # a bound is no more than the truth, and less by no more than what rounding may hide
        hidden = 2 * rounding(model(x)) / dual_norm(normal, norm)
        errors.append(torch.maximum(found.lower - truth, truth - hidden - found.lower).div(truth).nan_to_num(torch.inf))
    return float(torch.stack(errors).amax())


def tolerance(abilities: Abilities, distance: float | None) -> float:
    """How large `error_on_affine` may be."""
    return abilities.tolerance if distance is None else max(abilities.tolerance, NEAR_TOLERANCE)
