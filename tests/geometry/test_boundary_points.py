"""Boundary points where the nearest one is known, and the conditions that it meets on a network (§8.1, §9.2)."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import minimize

from bdry.core.seeds import generator
from bdry.data import DATASETS
from bdry.errors import UsageError
from bdry.geometry.boundary.directions import random_directions
from bdry.geometry.boundary.logit_gap import gap_and_gradient
from bdry.geometry.boundary.points import FAMILIES, BoundaryPoints, short_of_boundary, to_boundary, to_nearest
from bdry.geometry.boundary.smoothness import in_double
from bdry.geometry.boundary.spectrum import dense_spectrum
from bdry.models import build_classifier

NAMES = ("nearest_refined", "deepfool_end", "nat_segment", "random_dir")


def two_class(f):
    def model(x):
        value = f(x.flatten(1))
        return torch.stack([value, -value], 1)

    return model


def gaussian(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed, "test"), dtype=torch.float64)


def family(name, model, x, **settings) -> BoundaryPoints:
    return FAMILIES[name](model, x, generator(0, "points"), **settings)


def digits_network(activation="softplus", num_classes=10):
    """A small network that knows the 8x8 digits: trained for a second."""
    split = DATASETS["digits"]().train
    pixels, labels = split.images.float() / 255, split.labels % num_classes
    options = {"widths": [48, 24], "activation": activation}
    model = build_classifier("mlp", (1, 8, 8), num_classes, mean=[0.3], std=[0.38], seed=0, options=options)
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(250):
        optimiser.zero_grad()
        F.cross_entropy(model(pixels), labels).backward()
        optimiser.step()
    model = in_double(model)
    assert float((model(pixels.double()).argmax(1) == labels).double().mean()) > 0.95
    return model, pixels[:60].double()


@pytest.mark.parametrize(("radius", "at"), [(0.5, 2.5), (2.0, 0.5), (2.0, 2.3), (10.0, 1.0)])
def test_the_nearest_point_of_a_sphere(radius, at):
    # from far outside a small sphere, curvature x distance is 4: undamped foot-point steps are thrown off
    direction = gaussian(5, 1, 1, 9)
    direction /= direction.flatten(1).norm(dim=1)[:, None, None, None]
    found = family("nearest_refined", two_class(lambda x: x.square().sum(1) - radius**2), at * direction)
    assert bool((found.success & found.stationary & found.top_two).all())
    torch.testing.assert_close(found.point, radius * direction, rtol=0, atol=1e-6)
    torch.testing.assert_close(
        found.distance, torch.full((5,), abs(at - radius), dtype=torch.float64), rtol=1e-10, atol=0
    )
    assert float(found.value.abs().max()) < 1e-10
    assert float(found.cosine.min()) > 1 - 1e-10
    # the gradient leads to the side of `own`
    inward = (found.normal * direction).flatten(1).sum(1)
    assert bool((inward * (at - radius) > 0).all())


def test_the_nearest_point_of_an_affine_boundary():
    w, x = gaussian(12), gaussian(8, 1, 3, 4)
    found = family("nearest_refined", two_class(lambda x: x @ w - 0.4), x)
    exact = (x.flatten(1) @ w - 0.4) / w.norm()
    torch.testing.assert_close(found.distance, exact.abs(), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(found.point.flatten(1), x.flatten(1) - exact[:, None] * w / w.norm(), rtol=0, atol=1e-7)


def test_the_nearest_point_of_an_ellipsoid_from_inside_and_outside():
    axes = torch.tensor([0.6, 1.0, 1.7, 2.5]).double()
    x = torch.cat([0.3 * gaussian(4, 1, 1, 4), gaussian(4, 1, 1, 4, seed=1).sign() * 1.5])
    found = family("nearest_refined", two_class(lambda x: (x / axes).square().sum(1) - 1), x)
    assert bool(found.stationary.all())
    for row in range(len(x)):
        target = x[row].flatten().numpy()
        on = {"type": "eq", "fun": lambda y: float(((y / axes.numpy()) ** 2).sum() - 1)}
        starts = [found.point[row].flatten().numpy(), target / (target**2).sum() ** 0.5, axes.numpy(), -axes.numpy()]
        best = min(
            minimize(lambda y, t=target: ((y - t) ** 2).sum(), s, constraints=on, tol=1e-14).fun ** 0.5 for s in starts
        )
        assert float(found.distance[row]) == pytest.approx(best, rel=1e-5)


def test_points_that_are_only_stationary_are_left():
    # inside an ellipse near its centre the far vertex is stationary, but not nearest
    axes = torch.tensor([2.0, 1.0]).double()
    model = two_class(lambda x: (x / axes).square().sum(1) - 1)
    x, start = torch.tensor([[0.1, 0.01]]).double(), torch.tensor([[1.99, 0.1]]).double()
    own, other = torch.tensor([1]), torch.tensor([0])
    found = to_nearest(model, x, start, own, other, steps=200)
    assert bool(found.on_boundary)
    assert float((found.point - x).norm()) < 1.05


@pytest.mark.parametrize("name", ["nearest_refined", "deepfool_end"])
def test_an_image_on_the_boundary_is_its_own_point(name):
    w = gaussian(6)
    x = gaussian(3, 1, 1, 6)
    x[1] -= ((x[1].flatten() @ w) / w.square().sum() * w)[None, None]
    found = family(name, two_class(lambda x: x @ w), x)
    assert bool(found.success.all())
    assert float(found.distance[1]) < 1e-9
    assert float(found.distance[[0, 2]].min()) > 1e-3
    assert bool(found.stationary.all())


@pytest.mark.parametrize("name", NAMES)
def test_images_without_a_boundary_are_marked(name):
    model = two_class(lambda x: x.square().sum(1) + 1)
    found = family(name, model, gaussian(4, 1, 1, 5))
    assert not bool(found.success.any())
    assert bool(found.point.isnan().all() & found.distance.isnan().all())
    assert found.other.tolist() == [-1] * 4
    assert not bool((found.stationary | found.top_two).any())
    assert len(found.take(found.success).point) == 0


def test_one_image_without_a_boundary_does_not_harm_the_others():
    model, x = digits_network()
    x = x[:4].clone()
    x[2] = torch.nan
    for name in NAMES[:3]:
        assert family(name, model, x).success.tolist() == [True, True, False, True], name
    assert not bool(family("random_dir", model, x).success[2])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("num_classes", [10, 2])
def test_every_point_lies_between_its_classes(name, num_classes):
    model, x = digits_network(num_classes=num_classes)
    found = family(name, model, x)
    # a random ray need not meet a boundary
    assert float(found.success.double().mean()) > (0.2 if name == "random_dir" else 0.95)
    found = found.take(found.success)
    logits = model(found.point)
    gap = logits.gather(1, found.own[:, None]) - logits.gather(1, found.other[:, None])
    assert float(gap.abs().max()) < 1e-9
    torch.testing.assert_close(gap[:, 0], found.value, rtol=0, atol=1e-12)
    assert torch.equal(model(found.start).argmax(1), found.own)
    assert float(found.top_two.double().mean()) >= 0.95
    top = logits.topk(2).indices.sort(1).values
    pair = torch.stack([found.own, found.other], 1).sort(1).values
    assert torch.equal((top == pair).all(1), found.top_two)
    torch.testing.assert_close((found.point - found.start).flatten(1).norm(dim=1), found.distance)


def test_nearest_points_of_a_network_meet_the_conditions_of_a_minimum():
    model, x = digits_network()
    found = family("nearest_refined", model, x)
    found = found.take(found.success)
    assert float(found.value.abs().max()) < 1e-8
    assert float((found.cosine > 0.999).double().mean()) >= 0.99
    spectrum = dense_spectrum(model, found.point, found.own, found.other)
    assert float((spectrum.curvatures[:, -1] * found.distance).min()) >= -1.001
    # refinement shortens
    assert bool((found.distance <= found.found * (1 + 1e-6)).all())
    ends = family("deepfool_end", model, x)
    assert float(found.distance.mean()) < float(ends.distance.nanmean())
    from_deepfool = family("nearest_refined", model, x, estimator="deepfool")
    assert float((from_deepfool.distance <= from_deepfool.found * (1 + 1e-6)).double().mean()) == 1
    assert float((from_deepfool.found / from_deepfool.distance).mean()) > 1.001


def test_a_relu_network_has_boundary_points_too():
    model, x = digits_network("relu")
    found = family("nearest_refined", model, x)
    assert float(found.success.double().mean()) > 0.95
    assert float(found.value.nan_to_num().abs().max()) < 1e-9


def test_segments_and_rays_are_kept_to():
    model, x = digits_network()
    found = family("random_dir", model, x)
    way = F.normalize((found.point - found.start).flatten(1))
    drawn = random_directions(x, 1, generator(0, "points"))[:, 0].flatten(1)
    ok = found.success
    assert float((way * drawn).sum(1)[ok].min()) > 1 - 1e-6
    found = family("nat_segment", model, x)
    ok = found.success
    off = []
    for start, point in zip(found.start[ok].flatten(1), found.point[ok].flatten(1), strict=True):
        way = x.flatten(1) - start
        along = ((way @ (point - start)) / way.square().sum(1)).clamp(0, 1)
        off.append(float((start + along[:, None] * way - point).norm(dim=1).nan_to_num(torch.inf).min()))
    assert max(off) < 1e-3
    near = family("random_dir", model, x, reach=1e-3)
    assert not bool(near.success.any())


def test_one_predicted_label_has_no_segments():
    model, x = digits_network()
    same = x[model(x).argmax(1) == 3]
    assert len(same) > 1
    assert not bool(family("nat_segment", model, same).success.any())


@pytest.mark.parametrize("name", ["nearest_refined", "deepfool_end"])
def test_batched_equals_one_by_one(name):
    model, x = digits_network()
    together = family(name, model, x[:8])
    alone = torch.cat([family(name, model, one[None]).point for one in x[:8]])
    torch.testing.assert_close(together.point, alone, rtol=0, atol=1e-5)


def test_newton_stops_where_there_is_no_slope():
    model = two_class(lambda x: x.square().sum(1) + 1)
    found = to_boundary(model, torch.zeros(1, 3).double(), torch.tensor([0]), torch.tensor([1]))
    assert not bool(found.on_boundary)


def test_unknown_families_are_answered_with_the_nearest():
    with pytest.raises(UsageError, match="family=nearest: no such family, did you mean family=nearest_refined"):
        FAMILIES["nearest"]


def test_points_short_of_the_boundary_are_on_the_way_to_deepfools():
    model, x = digits_network()
    end, short = family("deepfool_end", model, x, overshoot=0.05), short_of_boundary(model, x, generator(0, "points"))
    assert torch.equal(short.success, end.success)
    assert int(end.success.sum()) > 5
    ok = end.success
    torch.testing.assert_close(short.point[ok] - x[ok], 0.8 * (end.point - x)[ok], rtol=1e-12, atol=1e-14)
    value, gradient = gap_and_gradient(model, short.point[ok], short.own[ok], short.other[ok])[1:]
    assert torch.equal(value, short.value[ok])
    assert torch.equal(gradient, short.gradient[ok])
    assert bool((short.value[ok] > 0).all())
    assert bool(short.point[~ok].isnan().all())
    assert "short_of_boundary" not in FAMILIES


@pytest.mark.parametrize("name", NAMES)
def test_no_image_has_no_point_and_points_require_no_gradients(name):
    model = two_class(lambda z: z[:, 0] - 0.5)
    x = torch.rand(4, 1, 1, 2, generator=generator(0, "test"))
    assert len(family(name, model, x[:0]).point) == 0
    found = family(name, model, x.clone().requires_grad_())
    assert not any(part.requires_grad for part in vars(found).values() if isinstance(part, torch.Tensor))
