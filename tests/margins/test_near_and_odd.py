"""Closed forms near the boundary and at odd scales, twins, masked classes, modules that write, wrong arguments."""

from __future__ import annotations

import pytest
import torch

from bdry.core.norms import dual_norm
from bdry.core.norms import norm as norm_of
from bdry.margins import apgd, ddn, deepfool, exact, fab, fmn, walk
from bdry.margins.checks import Affine

ALL = [walk, deepfool, ddn, fmn, fab, apgd, exact]
every = pytest.mark.parametrize("estimator", ALL, ids=lambda function: function.__name__)
W = torch.randn(10, 64, generator=torch.Generator().manual_seed(0)) / 8
B = 0.1 * torch.randn(10, generator=torch.Generator().manual_seed(1))


def closed_form(x, norm, w=W, b=B):
    logits = x.double().flatten(1) @ w.double().T + b.double()
    start = logits.argmax(1)
    normals = w.double()[start][:, None] - w.double()
    distance = (logits.amax(1)[:, None] - logits) / torch.stack([dual_norm(part, norm) for part in normals])
    distance, nearest = distance.scatter(1, start[:, None], torch.inf).min(1)
    return distance, normals[torch.arange(len(x)), nearest]


def at_distance(distance, norm, count=40):
    x = 0.1 + 0.8 * torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    for _ in range(4):
        margin, normal = closed_form(x, norm)
        way = normal / normal.norm(dim=1, keepdim=True) if norm == "l2" else normal.sign()
        x = (x.double() - ((margin - distance)[:, None] * way).reshape(x.shape)).float().clamp(0, 1)
    return x


def nearest_found(model, x, boundary, norm):
    """The distance of the nearest of many points of float32's grid of another label, alone and in batches; a float.

    The points lie straight across the boundary, up to twice as far as its point `boundary`. Where sums are rounded so
    that labels turn late, this tells how late.
    """
    rng = torch.Generator().manual_seed(3)
    share = 1 + torch.rand(20_000, *(1,) * x.dim(), generator=rng, dtype=torch.float64)
    spread = 3e-8 * torch.randn(20_000, *x.shape, generator=rng, dtype=torch.float64)
    points = (x.double() + share * (boundary - x.double()) + spread).to(x.dtype).clamp(0, 1)
    label = model(x[None]).argmax(1)
    points = points[torch.cat([model(part).argmax(1) != label for part in points.split(8)])]
    for point in points[norm_of(points - x, norm).argsort()]:
        if all(bool((model(point.expand(size, *x.shape)).argmax(1) != label).all()) for size in (1, 2, 3, 5, 6, 8)):
            return float(norm_of((point - x)[None], norm))
    return float("inf")


def held_to_the_closed_form(estimator, model, x, norm, w=W, b=B):
    """Right to 1.05; the stored point is what is measured, and has another label in a batch of any size."""
    result = estimator(model, x, norm=norm)
    assert bool(result.success.all())
    distance, normal = closed_form(x, norm, w, b)
    assert float((result.margin / distance).min()) > 0.95
    way = normal / normal.norm(dim=1, keepdim=True) if norm == "l2" else normal.sign()
    for i in (result.margin >= 1.05 * distance).nonzero()[:, 0].tolist():
        boundary = x[i].double() - (distance[i] * way[i]).view(x[i].shape)
        assert float(result.margin[i]) < 1.05 * nearest_found(model, x[i], boundary, norm) < 2.2 * float(distance[i])
    assert torch.equal(result.margin, norm_of(result.point - x, norm))
    assert bool((result.margin <= result.overshot).all())
    assert torch.equal(torch.cat([model(point[None]).argmax(1) for point in result.point]), result.boundary_class)
    for size in (1, 2, 5, len(x)):
        labels = torch.cat([model(part).argmax(1) for part in result.point.split(size)])
        assert bool((labels != result.start_class).all()), size


# in the last two 1e4 is added to all logits: float32 has steps of 0.001 there, a third of the gap in the last one
NEAR = [
    (1e-2, 1.0, 0.0),
    (1e-4, 1.0, 0.0),
    (1e-6, 1.0, 0.0),
    (1e-6, 1e20, 0.0),
    (1e-6, 1e-20, 0.0),
    (1e-2, 1.0, 1e4),
    (3e-3, 1.0, 1e4),
]


@every
@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize(("distance", "scale", "shift"), NEAR)
def test_near_the_boundary_margins_are_the_closed_form(estimator, norm, distance, scale, shift):
    if estimator is ddn and norm == "linf":
        pytest.skip("ddn is l2 only")

    def model(z):
        return scale * (z.flatten(1) @ W.T + B + shift)

    held_to_the_closed_form(estimator, model, at_distance(distance, norm, 6), norm)


@every
@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize(
    ("num_pixels", "dtype", "distance"),
    [
        (784, torch.float64, {"l2": 1e-6, "linf": 1e-6}),
        (3072, torch.float64, {"l2": 1e-6, "linf": 1e-6}),
        # in l2 float32's own grid has no point beyond the boundary nearer than 1.07 times 1e-6 here
        (784, torch.float32, {"l2": 1e-5, "linf": 1e-6}),
    ],
    ids=["784 in float64", "3072 in float64", "784 in float32"],
)
def test_near_the_boundary_of_many_pixels(estimator, norm, num_pixels, dtype, distance):
    if estimator is ddn and norm == "linf":
        pytest.skip("ddn is l2 only")
    model = Affine(num_pixels, 10).to(dtype)
    x = model.images(4, norm, distance[norm]).to(dtype)
    held_to_the_closed_form(estimator, model, x, norm, model.head.weight, model.head.bias)


@every
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_neither_depth_nor_a_softmax_moves_a_near_boundary(estimator, norm):
    """Three layers of ReLUs that are all on, and log-probabilities, which are logits less one number, about 2 here."""
    if estimator is ddn and norm == "linf":
        pytest.skip("ddn is l2 only")
    order = torch.randperm(64, generator=torch.Generator().manual_seed(4))

    def model(z):
        h = z.flatten(1)
        for scale in (2.0, 0.5, 1.0):
            h = torch.relu(scale * h[:, order])
        return (h @ W[:, order[order[order]]].T + B).log_softmax(1)

    held_to_the_closed_form(estimator, model, at_distance(3e-6, norm, 6), norm)


@every
def test_where_sums_cancel_the_label_differs_alone_and_no_bound_is_above_the_truth(estimator):
    """All classes share large weights, so that logits are rounded by a hundred times what their size says."""
    common = 30 * torch.randn(1, 64, generator=torch.Generator().manual_seed(3))
    w, b = W + common, B - 0.5 * common.sum(1)

    def model(z):
        return z.flatten(1) @ w.T + b

    x = at_distance(0.1, "l2", 12)
    truth = closed_form(x, "l2", w, b)[0]
    result = estimator(model, x)
    assert bool(result.success.all())
    assert float((result.margin / truth - 1).abs().max()) < 0.01
    for size in (1, 2, 5, len(x)):
        labels = torch.cat([model(part).argmax(1) for part in result.point.split(size)])
        assert bool((labels != result.start_class).all()), size
    assert not bool((result.lower > truth).any())


@every
def test_twins_are_one_class_and_masked_classes_are_none(estimator):
    def model(z):
        f = 2 * z.flatten(1)[:, 0] - 1
        return torch.stack([f, -f, -f, torch.full_like(f, -torch.inf)], 1)

    x = torch.rand(20, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    result = estimator(model, x)
    torch.testing.assert_close(result.margin, (x[:, 0, 0, 0] - 0.5).abs(), rtol=1e-4, atol=1e-6)
    assert set(result.boundary_class.tolist()) <= {0, 1}


@every
def test_where_nothing_is_to_be_found_there_is_no_margin(estimator):
    result = estimator(lambda z: 0 * z.flatten(1)[:, :5], torch.rand(4, 1, 4, 4, generator=torch.Generator()))
    assert not bool(result.success.any())
    assert bool(result.margin.isnan().all())


@every
def test_modules_may_write_into_their_input(estimator):
    x = at_distance(0.05, "l2")
    before = x.clone()
    in_place = estimator(lambda z: z.sub_(0.5).flatten(1) @ W.T + B, x)
    torch.testing.assert_close(in_place.margin, estimator(lambda z: (z - 0.5).flatten(1) @ W.T + B, x).margin)
    assert torch.equal(x, before)


@every
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"norm": "l3"}, "norm='l3'"),
        ({"x": torch.full((2, 1, 8, 8), 255.0)}, "x holds the value 255"),
        ({"x": torch.zeros(2, 1, 8, 8, dtype=torch.uint8)}, "x is torch.uint8"),
        ({"start_class": torch.zeros(3, dtype=torch.int64)}, r"start_class has shape \(3,\)"),
        ({"start_class": torch.zeros(2)}, "start_class is torch.float32"),
        ({"towards": torch.tensor([0, 10])}, "towards holds 10"),
    ],
)
def test_wrong_arguments_are_refused_with_their_value(estimator, wrong, message):
    arguments = {"x": torch.zeros(2, 1, 8, 8)} | wrong
    with pytest.raises(ValueError, match=message):
        estimator(lambda z: z.flatten(1) @ W.T + B, **arguments)


@pytest.mark.parametrize("estimator", [walk, deepfool, ddn, fmn, fab, apgd], ids=lambda function: function.__name__)
@pytest.mark.parametrize(("radius", "distance"), [(0.1, 0.05), (0.5, 1e-6)])
def test_a_ball_of_another_class_is_found_from_outside(estimator, radius, distance):
    """DDN's first ball has radius 1 and leads to the other side of it."""
    way = torch.randn(3, 12, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    x = (0.5 + (radius + distance) * way / way.norm(dim=1, keepdim=True)).float().clamp(0, 1).reshape(3, 1, 1, 12)

    def model(z):
        f = (z - 0.5).flatten(1).square().sum(1) - radius**2
        return torch.stack([f, -f], 1)

    result = estimator(model, x)
    truth = (x.double() - 0.5).flatten(1).norm(dim=1) - radius
    assert float((result.margin / truth - 1).abs().nan_to_num(torch.inf).max()) < 0.05


@every
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_a_boundary_farther_than_all_steps_is_found(estimator, norm):
    if estimator is ddn and norm == "linf":
        pytest.skip("ddn is l2 only")
    w = torch.randn(8, generator=torch.Generator().manual_seed(3))
    x = torch.rand(3, 1, 1, 8, generator=torch.Generator().manual_seed(4))

    def model(z):
        f = z.flatten(1) @ w / w.norm() - 1e3
        return torch.stack([-f, f], 1)

    truth = (1e3 - x.flatten(1) @ w / w.norm()) / dual_norm(w[None] / w.norm(), norm)
    torch.testing.assert_close(estimator(model, x, norm=norm).margin, truth, rtol=1e-3, atol=0)
    # the box does not reach so far
    assert not bool(estimator(model, x, norm=norm, clipped=True).success.any())


@every
@pytest.mark.parametrize("classes", [0, 1])
def test_a_model_of_less_than_two_classes_is_refused(estimator, classes):
    with pytest.raises(ValueError, match=rf"logits of shape \(2, {classes}\): a boundary lies between two classes"):
        estimator(lambda z: z.flatten(1)[:, :classes], torch.rand(2, 1, 2, 2, generator=torch.Generator()))


@every
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_logits_that_are_no_numbers_have_no_margins(estimator, value):
    result = estimator(lambda z: z.flatten(1)[:, :3] * 0 + value, torch.rand(2, 1, 2, 2, generator=torch.Generator()))
    assert not bool(result.success.any())
    assert bool(result.margin.isnan().all())
