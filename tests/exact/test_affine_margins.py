"""Margins where the answer is known in closed form: affine classifiers, and boundaries one can write down."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bdry.core.norms import dual_norm
from bdry.margins import ESTIMATORS

EXACT_ON_AFFINE = ("deepfool", "walk", "exact", "bracket")
GENERAL = ("deepfool", "walk")


def affine(num_features: int, num_classes: int, seed: int, dtype: torch.dtype = torch.float32) -> nn.Module:
    draw = torch.Generator().manual_seed(seed)
    layer = nn.Linear(num_features, num_classes, dtype=dtype, device="meta").to_empty(device="cpu")
    layer.weight.data = torch.randn(num_classes, num_features, generator=draw, dtype=dtype)
    layer.bias.data = 0.1 * torch.randn(num_classes, generator=draw, dtype=dtype)
    return nn.Sequential(nn.Flatten(), layer).requires_grad_(False)


def closed_form(model: nn.Module, x: torch.Tensor, start: torch.Tensor, norm: str) -> torch.Tensor:
    """min_k |f_p - f_k| / ||w_p - w_k||_* over the classes k other than p."""
    logits, weight = model(x), model[1].weight
    distances = []
    for k in range(len(weight)):
        difference = logits[torch.arange(len(x)), start] - logits[:, k]
        length = dual_norm(weight[start] - weight[k], norm)
        distances.append(torch.where(start == k, torch.inf, difference / length.clamp_min(1e-12)))
    return torch.stack(distances).amin(0)


@pytest.mark.parametrize("estimator", EXACT_ON_AFFINE)
@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("shape", "num_classes"), [((1, 4, 4), 3), ((3, 5, 2), 10), ((1, 1, 2), 2)])
def test_affine_margins_equal_the_closed_form(estimator, norm, dtype, shape, num_classes):
    model = affine(torch.Size(shape).numel(), num_classes, 0, dtype)
    x = torch.rand(64, *shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    result = ESTIMATORS[estimator](model, x, norm=norm)
    exact = closed_form(model, x, result.start_class, norm)
    assert bool(result.success.all())
    # the margin is the distance of a point that the dtype can hold: to a rounding of a pixel
    torch.testing.assert_close(result.margin, exact, rtol=1e-4, atol=torch.finfo(dtype).eps)


@pytest.mark.parametrize("estimator", EXACT_ON_AFFINE)
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_a_misclassified_image_is_measured_from_its_predicted_class(estimator, norm):
    model = affine(16, 3, 2)
    x = torch.rand(32, 1, 4, 4, generator=torch.Generator().manual_seed(3))
    wrong_labels = (model(x).argmax(1) + 1) % 3
    result = ESTIMATORS[estimator](model, x, norm=norm)
    assert bool((result.start_class != wrong_labels).all())
    assert bool((result.margin > 0).all())


@pytest.mark.parametrize("estimator", EXACT_ON_AFFINE)
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_margins_from_a_given_class_are_zero_beyond_its_boundary(estimator, norm):
    model = affine(16, 3, 2)
    x = torch.rand(32, 1, 4, 4, generator=torch.Generator().manual_seed(3))
    elsewhere = (model(x).argmax(1) + 1) % 3
    result = ESTIMATORS[estimator](model, x, elsewhere, norm=norm)
    assert bool((result.margin == 0).all())


class Sphere(nn.Module):
    """Class 1 inside the ball of radius 0.3 around the middle of the box, class 0 outside."""

    def forward(self, x):
        squared = (x.flatten(1) - 0.5).square().sum(1)
        return torch.stack([squared, torch.full_like(squared, 0.09)], 1)


@pytest.mark.parametrize("estimator", GENERAL)
def test_sphere_from_outside_and_inside(estimator):
    draw = torch.Generator().manual_seed(4)
    direction = torch.randn(40, 1, 2, 2, generator=draw)
    direction /= direction.flatten(1).norm(dim=1)[:, None, None, None]
    radius = 0.05 + 0.4 * torch.rand(40, 1, 1, 1, generator=draw)
    result = ESTIMATORS[estimator](Sphere(), 0.5 + radius * direction, norm="l2")
    # the gradient is radial, so that DeepFool's steps stay on the line to the nearest point
    torch.testing.assert_close(result.margin, (radius.flatten() - 0.3).abs(), rtol=1e-3, atol=1e-6)


class Xor(nn.Module):
    """Class 1 where exactly one coordinate of the unit square is above one half."""

    def forward(self, x):
        a, b = (x.flatten(1) - 0.5).unbind(1)
        return torch.stack([a * b, -a * b], 1)


@pytest.mark.parametrize("estimator", GENERAL)
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_xor_is_an_upper_bound_near_the_exact_distance(estimator, norm):
    x = torch.tensor([[0.6, 0.9], [0.2, 0.45], [0.9, 0.45], [0.52, 0.1]]).reshape(-1, 1, 1, 2)
    exact = (x.flatten(1) - 0.5).abs().amin(1)
    result = ESTIMATORS[estimator](Xor(), x, norm=norm)
    assert bool((result.margin >= exact * (1 - 1e-5)).all())
    assert bool((result.margin <= exact * 1.5).all())
