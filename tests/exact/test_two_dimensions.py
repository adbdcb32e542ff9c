"""Where everything can be tried: two-dimensional nets on a lattice, and affine classifiers in the box."""

from __future__ import annotations

import pytest
import torch
from scipy.optimize import linprog
from torch import nn

from bdry.margins import ESTIMATORS, exact, lattice
from bdry.models import build_classifier


def points(n: int = 30, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, 1, 1, 2, generator=torch.Generator().manual_seed(seed))


def toy_network(seed: int) -> nn.Module:
    options = {"widths": [24, 24], "activation": "relu"}
    model = build_classifier("mlp", (1, 1, 2), 3, mean=[0.5], std=[0.2], seed=seed, options=options)
    return model.eval().requires_grad_(False)


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_estimators_are_upper_bounds_of_the_lattice(norm, seed):
    model, x = toy_network(seed), points()
    truth = ESTIMATORS["lattice"](model, x, norm=norm, clipped=True, resolution=300)
    assert bool(truth.success.all())
    shares = {}
    for name in ("deepfool", "walk"):
        result = ESTIMATORS[name](model, x, norm=norm, clipped=True)
        found = result.success
        # the lattice itself may miss by a cell
        assert bool((result.margin[found] >= truth.margin[found] - 1 / 300).all())
        shares[name] = float((result.margin[found] < 1.02 * truth.margin[found]).float().mean())
    assert shares["walk"] > 0.75
    assert shares["walk"] > shares["deepfool"]


def test_the_lattice_finds_the_circle():
    class Circle(nn.Module):
        def forward(self, x):
            squared = (x.flatten(1) - 0.5).square().sum(1)
            return torch.stack([squared, torch.full_like(squared, 0.09)], 1)

    x = points()
    exact = ((x.flatten(1) - 0.5).norm(dim=1) - 0.3).abs()
    result = ESTIMATORS["lattice"](Circle(), x, norm="l2", clipped=True)
    torch.testing.assert_close(result.margin, exact, rtol=2e-2, atol=1e-5)
    assert bool((result.margin >= exact * (1 - 1e-5)).all())


def test_the_lattice_takes_two_dimensions_only():
    with pytest.raises(ValueError, match="x has 64 pixels: a lattice takes two-dimensional data"):
        ESTIMATORS["lattice"](nn.Flatten(), torch.zeros(2, 1, 8, 8))


def affine(num_features: int, num_classes: int, seed: int) -> nn.Module:
    draw = torch.Generator().manual_seed(seed)
    layer = nn.Linear(num_features, num_classes, device="meta").to_empty(device="cpu")
    layer.weight.data = torch.randn(num_classes, num_features, generator=draw)
    layer.bias.data = 0.1 * torch.randn(num_classes, generator=draw)
    return nn.Sequential(nn.Flatten(), layer).requires_grad_(False)


def test_exact_linf_in_the_box_agrees_with_linear_programming():
    model, x = affine(6, 4, 0), torch.rand(12, 1, 2, 3, generator=torch.Generator().manual_seed(1))
    result = ESTIMATORS["exact"](model, x, norm="linf", clipped=True)
    weight, bias = model[1].weight.double().numpy(), model[1].bias.double().numpy()
    for i, image in enumerate(x.flatten(1).double().numpy()):
        p, best = int(result.start_class[i]), float("inf")
        for k in range(4):
            if k != p:
                # minimise t over (y, t): |y - x| <= t, 0 <= y <= 1, (w_k - w_p) y + b_k - b_p >= 0
                d = weight[k] - weight[p]
                rows = [[*-d, 0.0]]
                limits = [bias[k] - bias[p]]
                for j in range(6):
                    unit = [float(j == m) for m in range(6)]
                    rows += [[*unit, -1.0], [*(-u for u in unit), -1.0]]
                    limits += [image[j], -image[j]]
                solved = linprog([0] * 6 + [1], rows, limits, bounds=[(0, 1)] * 6 + [(0, None)])
                best = min(best, solved.fun) if solved.success else best
        assert float(result.margin[i]) == pytest.approx(best, rel=1e-4)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_exact_is_below_every_estimate_in_the_box(norm):
    model, x = affine(16, 5, 3), torch.rand(40, 1, 4, 4, generator=torch.Generator().manual_seed(2))
    exact = ESTIMATORS["exact"](model, x, norm=norm, clipped=True)
    for name in ("deepfool", "walk"):
        result = ESTIMATORS[name](model, x, norm=norm, clipped=True)
        assert bool((result.margin >= exact.margin * (1 - 1e-4)).all())
    assert float((result.margin / exact.margin).mean()) < 1.003


def test_exact_refuses_what_is_not_affine():
    with pytest.raises(ValueError, match="the model is not affine"):
        ESTIMATORS["exact"](toy_network(0), points())


@pytest.mark.parametrize("x", [torch.full((2, 1, 1, 2), 0.3), torch.full((2, 1, 1, 2), torch.nan)])
def test_the_lattice_takes_images_without_a_boundary(x):
    def nine(x):
        return torch.stack([9 + x.flatten(1)[:, 0], x.flatten(1)[:, 1]], 1)

    assert bool(lattice(nine, x).margin.isnan().all())


def test_exact_takes_an_affine_module_that_computes_in_float64():
    weight = torch.randn(3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def model(x):
        return 100 + x.double().flatten(1) @ weight.T

    x = torch.rand(8, 1, 1, 2, generator=torch.Generator().manual_seed(1))
    expected = exact(lambda x: x.flatten(1) @ weight.T, x.double()).margin
    torch.testing.assert_close(exact(model, x).margin.double(), expected, rtol=1e-4, atol=1e-6)


def test_exact_towards_a_class_whatever_it_starts_from():
    def model(x):
        return torch.stack([x.flatten(1)[:, 0] - 0.5, 0.5 - x.flatten(1)[:, 0]], 1)

    x = torch.tensor([[0.9, 0.1], [0.2, 0.4]]).reshape(2, 1, 1, 2)
    other = 1 - model(x).argmax(1)
    for start in (None, other, 1 - other):
        torch.testing.assert_close(exact(model, x, start, towards=other).margin, torch.tensor([0.4, 0.3]))
