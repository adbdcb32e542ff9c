"""Distances along rays against closed forms: hyperplanes, a sphere, rays that never cross, slabs met in order."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from bdry.core.norms import steepest
from bdry.margins import ESTIMATORS
from bdry.margins.rays import distances_along_rays
from bdry.models import build_classifier


def rand(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def unit(count: int, *shape: int, seed: int = 1, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return steepest(torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed), dtype=dtype), "l2")


def affine(num_features: int, num_classes: int, dtype: torch.dtype) -> nn.Module:
    draw = torch.Generator().manual_seed(5)
    layer = nn.Linear(num_features, num_classes, dtype=dtype, device="meta").to_empty(device="cpu")
    layer.weight.data = torch.randn(num_classes, num_features, generator=draw, dtype=dtype)
    layer.bias.data = 0.1 * torch.randn(num_classes, generator=draw, dtype=dtype)
    return nn.Sequential(nn.Flatten(), layer).requires_grad_(False)


def two_class(value):
    """A model of class 1 where `value(x)` is above 0."""
    return lambda x: torch.stack([torch.zeros(len(x), dtype=x.dtype), value(x.flatten(1))], dim=1)


SETTINGS = {"max_distance": 10.0, "samples": 40, "batch_size": 64}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("shape", "num_classes"), [((1, 4, 4), 3), ((3, 5, 2), 10), ((1, 1, 2), 2)])
def test_on_affine_classifiers_it_is_the_nearest_hyperplane_on_the_ray(dtype, shape, num_classes):
    model = affine(math.prod(shape), num_classes, dtype)
    x, u = rand(30, *shape, dtype=dtype), unit(7, *shape, dtype=dtype)
    result = distances_along_rays(model, x, u, **SETTINGS)
    weight, logits = model[1].weight, model(x)
    start = logits.argmax(1)
    # f_k - f_p grows along the ray at the rate <w_k - w_p, u>
    behind = logits.gather(1, start[:, None]) - logits
    rate = (weight - weight[start][:, None]) @ u.flatten(1).T
    distance = torch.where(rate > 0, behind[:, :, None] / rate, torch.inf)
    nearest, rival = distance.min(dim=1)
    within = nearest < 10.0
    assert bool(within.any())
    assert not bool(within.all())
    assert torch.equal(result.start_class, start)
    assert torch.equal(result.success, within)
    # the logits' own rounding, over the rate at which the gap falls
    size = (x.flatten(1).abs() @ weight.abs().T + model[1].bias.abs()).amax(1)[:, None]
    rate_there = rate.gather(1, rival[:, None])[:, 0]
    bound = 1e-4 * nearest + 8 * torch.finfo(dtype).eps * size / rate_there
    assert bool(((result.distance - nearest).abs() <= bound)[within].all())
    assert torch.equal(result.boundary_class[within], rival[within])
    assert bool(result.distance[~within].isnan().all())
    assert bool((result.boundary_class[~within] == -1).all())


def test_from_within_a_sphere_and_from_without():
    centre, radius = torch.full((6,), 0.5, dtype=torch.float64), 1.5
    model = two_class(lambda x: (x - centre).norm(dim=1) - radius)
    x, u = rand(20, 1, 2, 3, dtype=torch.float64), unit(5, 1, 2, 3, dtype=torch.float64)
    result = distances_along_rays(model, x, u, **SETTINGS)
    offset = x.flatten(1) - centre
    along = offset @ u.flatten(1).T
    exact = -along + (along**2 - (offset**2).sum(1, keepdim=True) + radius**2).sqrt()
    assert bool(result.success.all())
    torch.testing.assert_close(result.distance, exact, rtol=2e-5, atol=0)

    # from 4 to the left of the centre straight at it, and past it
    outside = (centre - torch.tensor([4.0, 0, 0, 0, 0, 0])).reshape(1, 1, 2, 3)
    rays = torch.eye(6, dtype=torch.float64)[:2].reshape(2, 1, 2, 3)
    result = distances_along_rays(model, outside, rays, **SETTINGS)
    assert result.success.tolist() == [[True, False]]
    assert result.boundary_class.tolist() == [[0, -1]]
    assert float(result.distance[0, 0]) == pytest.approx(4 - radius, rel=1e-5)


def test_the_first_of_several_crossings_is_met():
    """Slabs of class 1 at 2 to 3 and 5 to 6 along the first axis, with a region of class 0 beyond each."""

    def inside(x):
        return torch.maximum(0.5 - (x[:, 0] - 2.5).abs(), 0.5 - (x[:, 0] - 5.5).abs())

    x, u = torch.zeros(2, 1, 1, 2), torch.tensor([[1.0, 0.0], [-1.0, 0.0]]).reshape(2, 1, 1, 2)
    x[1, 0, 0, 0] = 5.1
    result = distances_along_rays(two_class(inside), x, u, **SETTINGS)
    assert result.start_class.tolist() == [0, 1]
    assert result.success.tolist() == [[True, False], [True, True]]
    torch.testing.assert_close(result.distance[[0, 1, 1], [0, 0, 1]], torch.tensor([2.0, 0.9, 0.1]), rtol=1e-4, atol=0)


def test_a_boundary_at_a_grid_point_is_found_and_one_at_twice_the_length_is_not():
    model = two_class(lambda x: x[:, 0] - 2.0)
    u = torch.tensor([1.0, 0.0]).reshape(1, 1, 1, 2)
    near = distances_along_rays(model, torch.zeros(1, 1, 1, 2), u, **SETTINGS)
    assert float(near.distance) == pytest.approx(2.0, rel=1e-5)
    far = distances_along_rays(model, torch.full((1, 1, 1, 2), -18.0), u, **SETTINGS)
    assert far.success.tolist() == [[False]]
    assert far.forwards.tolist() == [1 + SETTINGS["samples"]]


def test_a_crossing_that_rounding_hides_at_its_cells_end_is_none_the_less_met():
    """The boundary of each image, its second pixel, is the float just below the point of the grid beyond it."""
    step = 0.1
    x = rand(2000, 1, 1, 2)
    x[..., 1] = torch.nextafter(x[..., 0] + 7 * step, torch.tensor(-torch.inf))
    u = torch.tensor([1.0, 0.0]).reshape(1, 1, 1, 2)
    model = two_class(lambda x: x[:, 0] - x[:, 1])
    result = distances_along_rays(model, x, u, max_distance=10 * step, samples=10, batch_size=500)
    assert bool((result.boundary_class == 1).all())
    torch.testing.assert_close(result.distance, torch.full((2000, 1), 7 * step), rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", ["mlp", "plaincnn"])
def test_batched_is_one_by_one_and_no_ray_is_shorter_than_the_margin(name):
    options = {"activation": "relu"} | ({"widths": [32, 16]} if name == "mlp" else {})
    model = build_classifier(name, (1, 8, 8), 5, mean=[0.5], std=[0.25], seed=3, options=options).eval()
    model.requires_grad_(False)
    x, u = rand(8, 1, 8, 8), unit(6, 1, 8, 8)
    # centred logits: a fresh network predicts one class nearly everywhere
    model.head.bias -= model(x).mean(0)
    result = distances_along_rays(model, x, u, **SETTINGS)
    assert bool(result.success.any())
    margin = ESTIMATORS["walk"](model, x).margin
    assert bool((result.distance >= 0.999 * margin[:, None])[result.success].all())
    image, direction = result.success.nonzero(as_tuple=True)
    distance, start = result.distance[image, direction].reshape(-1, 1, 1, 1), result.start_class[image]
    just_beyond = model(x[image] + (distance + 1e-4) * u[direction]).argmax(1)
    assert torch.equal(just_beyond, result.boundary_class[image, direction])
    just_before = model(x[image] + (distance - 1e-4) * u[direction]).argmax(1)
    assert torch.equal(just_before, start)
    bound = rounding_of_crossings(model, x, u, result)
    for row in range(len(x)):
        for column in range(len(u)):
            alone = distances_along_rays(
                model, x[row : row + 1], u[column : column + 1], max_distance=10.0, samples=40, batch_size=1
            )
            distance = result.distance[row, column]
            torch.testing.assert_close(
                alone.distance[0, 0], distance, rtol=1e-4, atol=float(bound[row, column]), equal_nan=True
            )
            assert alone.boundary_class[0, 0] == result.boundary_class[row, column]


def rounding_of_crossings(model, x, u, result):
    """How far another batch size may move each crossing, (N, T): 8 roundings of the logits over the gap's slope there.

    Pixel units. A rounding of the logits moves a crossing by an absolute distance, however near it is. It is a share
    of the last layer's largest term, of which the logits are sums that nearly cancel.
    """
    bound, step = torch.zeros_like(result.distance), 1e-3
    image, direction = result.success.nonzero(as_tuple=True)
    pair = torch.stack([result.start_class[image], result.boundary_class[image, direction]], 1)
    distance = result.distance[image, direction].reshape(-1, 1, 1, 1)
    behind, ahead = (model(x[image] + (distance + side * step) * u[direction]) for side in (-1, 1))
    fall = (behind - ahead).gather(1, pair)
    slope = (fall[:, 0] - fall[:, 1]) / (2 * step)
    assert bool((slope > 0).all())
    features = model.features(x[image] + distance * u[direction])
    size = (features.abs() @ model.head.weight.abs().T + model.head.bias.abs()).amax(1)
    bound[image, direction] = 8 * torch.finfo(size.dtype).eps * size / slope
    return bound


def test_memory_is_bounded_and_finished_rays_are_dropped():
    sizes = []

    def model(x):
        sizes.append(len(x))
        return torch.stack([torch.zeros(len(x)), x[:, 0, 0, 0] - 1.0], dim=1)

    u = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).reshape(2, 1, 1, 2)
    result = distances_along_rays(model, torch.zeros(10, 1, 1, 2), u, max_distance=10.0, samples=40, batch_size=7)
    assert max(sizes) <= 7
    assert int(result.forwards.sum()) == sum(sizes)
    assert result.success.tolist() == [[True, False]] * 10


def test_logits_that_are_no_numbers_are_failures():
    result = distances_along_rays(
        lambda x: torch.full((len(x), 3), torch.nan), rand(2, 1, 2, 2), unit(3, 1, 2, 2), **SETTINGS
    )
    assert not bool(result.success.any())
    assert bool(result.distance.isnan().all())


def test_wrong_directions_are_refused_in_a_line():
    model, x = affine(4, 2, torch.float32), rand(2, 1, 2, 2)
    with pytest.raises(ValueError, match="must be of the images' shape 1x2x2, not 1x3x3"):
        distances_along_rays(model, x, unit(1, 1, 3, 3), **SETTINGS)
    with pytest.raises(ValueError, match="length 1"):
        distances_along_rays(model, x, 2 * unit(1, 1, 2, 2), **SETTINGS)
