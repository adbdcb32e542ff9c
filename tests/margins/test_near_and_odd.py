"""Closed forms near the boundary and at odd scales, twins, masked classes, modules that write, wrong arguments."""

from __future__ import annotations

import pytest
import torch

from bdry.core.norms import dual_norm
from bdry.core.norms import norm as norm_of
from bdry.margins import apgd, ddn, deepfool, exact, fab, fmn, walk

ALL = [walk, deepfool, ddn, fmn, fab, apgd, exact]
every = pytest.mark.parametrize("estimator", ALL, ids=lambda function: function.__name__)
W = torch.randn(10, 64, generator=torch.Generator().manual_seed(0)) / 8
B = 0.1 * torch.randn(10, generator=torch.Generator().manual_seed(1))


def closed_form(x, norm):
    logits = x.double().flatten(1) @ W.double().T + B.double()
    start = logits.argmax(1)
    normals = W.double()[start][:, None] - W.double()
    distance = (logits.amax(1)[:, None] - logits) / torch.stack([dual_norm(part, norm) for part in normals])
    distance, nearest = distance.scatter(1, start[:, None], torch.inf).min(1)
    return distance, normals[torch.arange(len(x)), nearest]


def at_distance(distance, norm):
    x = 0.1 + 0.8 * torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    for _ in range(4):
        margin, normal = closed_form(x, norm)
        way = normal / normal.norm(dim=1, keepdim=True) if norm == "l2" else normal.sign()
        x = (x.double() - ((margin - distance)[:, None] * way).reshape(x.shape)).float().clamp(0, 1)
    return x


@every
@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize(("distance", "scale"), [(1e-2, 1.0), (1e-4, 1.0), (1e-5, 1.0), (1e-5, 1e20), (1e-5, 1e-20)])
def test_near_the_boundary_margins_are_the_closed_form(estimator, norm, distance, scale):
    if estimator is ddn and norm == "linf":
        pytest.skip("ddn is l2 only")
    x = at_distance(distance, norm)

    def model(z):
        return scale * (z.flatten(1) @ W.T + B)

    result = estimator(model, x, norm=norm)
    assert bool(result.success.all())
    assert float((result.margin / closed_form(x, norm)[0]).max()) < 1.05
    assert torch.equal(result.margin, norm_of(result.point - x, norm))
    alone = torch.cat([model(point[None]).argmax(1) for point in result.point])
    assert bool((alone != result.start_class).all())


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
