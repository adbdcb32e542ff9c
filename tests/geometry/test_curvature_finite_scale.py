"""Curvature from the boundary's height over its tangent plane, and cross-sections of the labels."""

from __future__ import annotations

import pytest
import torch

from bdry.core.seeds import generator
from bdry.geometry.boundary.directions import random_tangents
from bdry.geometry.boundary.finite_scale import geometric_curvature, geometric_matrix
from bdry.geometry.boundary.points import FAMILIES
from bdry.geometry.boundary.sections import curvature_sections, label_sections
from bdry.geometry.boundary.smoothness import in_double
from bdry.geometry.boundary.spectrum import dense_spectrum
from bdry.models import build_classifier

FIRST, SECOND = torch.tensor([0]), torch.tensor([1])


def two_class(f):
    def model(x):
        value = f(x.flatten(1))
        return torch.stack([value, torch.zeros_like(value)], 1)

    return model


def surfaces():
    axes = torch.linspace(1.0, 3.0, 8, dtype=torch.float64)
    bend = torch.linspace(-3.0, 2.0, 7, dtype=torch.float64)
    vertex = torch.zeros(8).double()
    vertex[0] = 1.0
    pole = 2 * torch.ones(8).double() / 8**0.5
    return {
        "sphere": (lambda x: x.square().sum(1) - 4, pole),
        "ellipsoid": (lambda x: (x / axes).square().sum(1) - 1, vertex),
        "graph": (lambda x: 0.5 * (bend * x[:, :-1].square()).sum(1) - x[:, -1], torch.zeros(8).double()),
    }


@pytest.mark.parametrize("name", ["sphere", "ellipsoid", "graph"])
def test_heights_give_the_curvatures_a12(name):
    f, at = surfaces()[name]
    model, z = two_class(f), at[None, None, None]
    exact = dense_spectrum(model, z, FIRST, SECOND, num_directions=7)
    gradient = torch.func.grad(lambda x: f(x[None])[0])(at)[None, None, None]
    found = geometric_curvature(model, z, FIRST, SECOND, gradient, exact.directions[:, :7], scale=1e-2)
    torch.testing.assert_close(found.curvature, exact.curvatures, rtol=1e-3, atol=1e-9)
    # the plane is on the own side where the boundary bends away
    bent = exact.curvatures.abs() > 1e-9
    assert torch.equal(found.own_side.all(2)[bent], (exact.curvatures > 0)[bent])
    matrix = geometric_matrix(model, z, FIRST, SECOND, gradient, exact.directions[:, :7], scale=1e-2)
    torch.testing.assert_close(matrix, torch.diag_embed(exact.curvatures), rtol=1e-3, atol=2e-3)


def test_a_kink_is_curved_by_the_scale():
    # F = |x_0| - x_1: at distance t the boundary is t above its tangent plane, hence -2 t / t^2
    model = two_class(lambda x: x[:, 0].abs() - x[:, 1])
    z, gradient = torch.zeros(1, 1, 1, 2).double(), torch.tensor([[[[0.0, -1.0]]]]).double()
    tangent = torch.tensor([[[[[1.0, 0.0]]]]]).double()
    for scale in (0.1, 1.0):
        found = geometric_curvature(model, z, FIRST, SECOND, gradient, tangent, scale=scale)
        assert float(found.curvature) == pytest.approx(2 / scale, rel=1e-12)


def test_where_there_is_no_boundary_in_reach_there_is_no_number():
    # a ball of radius 1: the tangent plane at distance 3 has no boundary above or below
    model = two_class(lambda x: x.square().sum(1) - 1)
    z = torch.tensor([[[[1.0, 0.0]]]]).double()
    tangent = torch.tensor([[[[[0.0, 1.0]]]]]).double()
    found = geometric_curvature(model, z, FIRST, SECOND, 2 * z, tangent, scale=3.0)
    assert bool(found.curvature.isnan().all())
    assert found.own_side.all()
    assert float(found.mean()[2]) == 0
    with pytest.raises(ValueError, match="scale=0"):
        geometric_curvature(model, z, FIRST, SECOND, 2 * z, tangent, scale=0)


def relu_points(n=6):
    options = {"widths": [24, 12], "activation": "relu"}
    model = in_double(build_classifier("mlp", (1, 6, 6), 3, mean=[0.5], std=[0.1], seed=1, options=options))
    x = torch.rand(n, 1, 6, 6, generator=generator(3, "test"), dtype=torch.float64)
    points = FAMILIES["deepfool_end"](model, x, generator(0, "points"))
    return model, points.take(points.success)


def test_relu_networks_have_curvature_at_a_finite_scale():
    model, points = relu_points()
    tangents = random_tangents(points.gradient, 5, generator(0, "tangents"))
    torch.testing.assert_close(tangents.flatten(2).norm(dim=2), torch.ones(len(tangents), 5).double())
    assert float((tangents * points.normal[:, None]).flatten(2).sum(2).abs().max()) < 1e-12
    found = geometric_curvature(
        model, points.point, points.own, points.other, points.gradient, tangents, scale=1.0, batch_size=7
    )
    ok = found.one_sided.isfinite()
    assert float(ok.double().mean()) > 0.8
    assert float(found.curvature.abs().nan_to_num().max()) > 1e-3
    # each height lies on the boundary
    height = (-found.one_sided / 2).nan_to_num()
    sides = torch.stack([tangents, -tangents], 2)
    at = points.point[:, None, None] + sides + height[..., None, None, None] * points.normal[:, None, None]
    logits = model(at.flatten(0, 2)).unflatten(0, height.shape)
    own, other = (k[:, None, None, None].expand(*height.shape, 1) for k in (points.own, points.other))
    gap = (logits.gather(3, own) - logits.gather(3, other))[..., 0]
    assert float(gap[ok].abs().max()) < 1e-10
    assert bool((found.own_side[ok] == (found.one_sided[ok] > 0)).all())
    alone = [
        geometric_curvature(model, p.point, p.own, p.other, p.gradient, tangents[i : i + 1], scale=1.0).curvature
        for i, p in enumerate(points.take(torch.tensor([j])) for j in range(len(points.own)))
    ]
    torch.testing.assert_close(found.curvature, torch.cat(alone), rtol=1e-6, atol=1e-9, equal_nan=True)


def test_finite_scale_and_derivatives_agree_on_a_smooth_network():
    options = {"widths": [24, 12], "activation": "softplus"}
    model = in_double(build_classifier("mlp", (1, 6, 6), 3, mean=[0.5], std=[0.1], seed=1, options=options))
    x = torch.rand(4, 1, 6, 6, generator=generator(3, "test"), dtype=torch.float64)
    points = FAMILIES["nearest_refined"](model, x, generator(0, "points"))
    points = points.take(points.success)
    where = (points.point, points.own, points.other)
    exact = dense_spectrum(model, *where, num_directions=2)
    found = geometric_curvature(model, *where, points.gradient, exact.directions, scale=1e-2)
    torch.testing.assert_close(found.curvature, exact.directed, rtol=1e-2, atol=1e-5)


def test_sections_of_a_circle():
    # class 0 outside the unit circle; at (1, 0) the normal points outwards
    model = two_class(lambda x: x.square().sum(1) - 1)
    z = torch.tensor([[[[1.0, 0.0]]]]).double()
    tangent = torch.tensor([[[[0.0, 1.0]]]]).double()
    found = label_sections(model, z, z, tangent, extent=1.5, resolution=31, batch_size=100)
    a, b = found.axis[:, None], found.axis[None]
    inside = (1 + a).square() + b.square() > 1 + 1e-9
    on = ((1 + a).square() + b.square() - 1).abs() < 1e-9
    assert bool(((found.labels[0] == 0) == inside)[~on].all())
    with pytest.raises(ValueError, match="must be above 0"):
        label_sections(model, z, z, tangent, extent=0.0, resolution=31)


def test_sections_bend_as_their_curvature_says():
    bend = torch.tensor([4.0, 0.5, -3.0]).double()
    model = two_class(lambda x: 0.5 * (bend * x[:, :3].square()).sum(1) - x[:, 3])
    x = torch.tensor([[[[0.0, 0.0, 0.0, -1e-3]]]]).double()
    points = FAMILIES["nearest_refined"](model, x, generator(0, "points"))
    spectrum = dense_spectrum(model, points.point, points.own, points.other, num_directions=1)
    found = curvature_sections(model, points, spectrum, generator(0, "sections"), extent=0.5, resolution=51)
    own_share = {
        name: float((section.labels == points.own[:, None, None]).double().mean()) for name, section in found.items()
    }
    assert own_share["max"] > 0.55
    assert own_share["min"] < 0.45
    assert set(own_share) == {"max", "min", "random"}
    bare = dense_spectrum(model, points.point, points.own, points.other)
    with pytest.raises(ValueError, match="num_directions=1"):
        curvature_sections(model, points, bare, generator(0, "sections"), extent=0.5)
