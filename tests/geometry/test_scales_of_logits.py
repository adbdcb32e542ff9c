"""Boundary points, heights and second differences where logits are of odd scale, and where a class is masked."""

from __future__ import annotations

import pytest
import torch

from bdry.core.seeds import generator
from bdry.core.segments import largest_logit, rounding
from bdry.geometry.boundary import FAMILIES, dense_spectrum, geometric_curvature, random_tangents
from bdry.geometry.detection.statistics import _difference

RADIUS = 0.4
X = 0.5 + 0.1 * torch.randn(4, 1, 2, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
X[3] = 0.5 + 0.45 / 6**0.5
FROM_MIDDLE = (X - 0.5).flatten(1).norm(dim=1)


def ball(scale, *more):
    """Class 0 in a ball around the middle, class 1 outside, and classes of the logits `more`."""

    def model(z):
        f = scale * ((z - 0.5).flatten(1).square().sum(1) - RADIUS**2)
        return torch.stack([-f, f, *(torch.full_like(f, value) for value in more)], 1)

    return model


@pytest.mark.parametrize("family", ["deepfool_end", "nat_segment", "nearest_refined", "random_dir"])
@pytest.mark.parametrize(
    ("scale", "more"), [(1.0, ()), (1e-11, ()), (1e-20, ()), (1e20, ()), (1.0, (-torch.inf,)), (1.0, (-1e9,))]
)
def test_points_lie_on_the_boundary_and_it_is_as_curved_as_it_is(family, scale, more):
    model = ball(scale, *more)
    points = FAMILIES[family](model, X, generator(0, "test"))
    assert bool(points.success[:3].all())
    points = points.take(points.success)
    off = (points.point - 0.5).flatten(1).norm(dim=1) - RADIUS
    assert float(off.abs().max()) < 1e-8
    if family in ("nearest_refined", "deepfool_end"):
        torch.testing.assert_close(points.distance, (FROM_MIDDLE - RADIUS).abs(), rtol=0, atol=1e-6)
    # from inside the boundary bends towards the image, from outside away from it
    exact = torch.where(points.own == 0, -1 / RADIUS, 1 / RADIUS).double()
    spectrum = dense_spectrum(model, points.point, points.own, points.other)
    torch.testing.assert_close(spectrum.mean, exact, rtol=1e-6, atol=0)
    tangents = random_tangents(points.gradient, 2, generator(0, "tangents"))
    heights = geometric_curvature(model, points.point, points.own, points.other, points.gradient, tangents, scale=0.05)
    torch.testing.assert_close(heights.curvature, exact[:, None].expand(-1, 2), rtol=0.01, atol=0)


@pytest.mark.parametrize("more", [(), (-torch.inf,), (-1e9,)])
def test_second_differences_of_a_masked_classifier_are_those_of_its_other_classes(more):
    x = X.float()
    v = torch.ones_like(x) / 6**0.5
    model = ball(1.0, *more)
    found = _difference(model, x, v, model(x), 0.1)[:, :2]
    torch.testing.assert_close(found, torch.tensor([[-2.0, 2.0]]).expand(4, 2), rtol=1e-3, atol=0)


def test_the_largest_logit_is_that_of_a_class_that_is_not_masked():
    first = [[3.0, 1.0, -50.0], [3.0, 1.0, -torch.inf], [3.0, 1.0, -1e9], [0.0, 0.0, -5.0], [-9.0, -8.0, torch.nan]]
    rows = torch.tensor(first)
    assert largest_logit(rows).tolist() == [50, 3, 3, 5, 9]
    assert largest_logit(1e-20 * rows).tolist() == pytest.approx([5e-19, 3e-20, 3e-20, 5e-20, 9e-20])
    assert torch.equal(rounding(rows), 4 * torch.finfo(torch.float32).eps * largest_logit(rows))
