"""Extreme principal curvatures at a finite scale: closed forms, and a kinked boundary that derivatives call flat."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bdry.core.seeds import generator
from bdry.geometry.boundary.finite_scale import candidate_tangents, principal_at_scale
from bdry.geometry.boundary.points import FAMILIES

BEND = torch.linspace(-3.0, 2.0, 11, dtype=torch.float64)


class Graph(nn.Module):
    """F = sum k_i x_i^2 / 2 - x_d around the middle of the box: its principal curvatures there are k."""

    def forward(self, x):
        y = x.flatten(1) - 0.5
        value = 0.5 * (BEND * y[:, :-1].square()).sum(1) - y[:, -1]
        return torch.stack([value, torch.zeros_like(value)], 1)


class Roof(nn.Module):
    """F = |x_0| - x_1 around the middle: piecewise linear, with a kink at the point."""

    def forward(self, x):
        y = x.flatten(1) - 0.5
        value = y[:, 0].abs() - y[:, 1]
        return torch.stack([value, torch.zeros_like(value)], 1)


def at_the_middle(model):
    """The boundary point below the middle of the box, a little beside it."""
    x = torch.full((1, 1, 3, 4), 0.5, dtype=torch.float64)
    x[..., -1, -1] -= 1e-3
    points = FAMILIES["deepfool_end"](model, x, generator(0, "x"))
    assert bool(points.success.all())
    return points


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("ends", [2, 3])
def test_the_extremes_of_a_quadric_are_found(dense, ends):
    points = at_the_middle(Graph())
    tangents = candidate_tangents(Graph(), points, ends=ends, step=0.1, dense=dense)
    flat = tangents.flatten(2)[0]
    assert flat.shape == (2 * ends, 12)
    torch.testing.assert_close(flat @ flat.T, torch.eye(2 * ends).double(), atol=1e-6, rtol=0)
    curvatures, directions = principal_at_scale(Graph(), points, tangents, scale=1e-2)
    torch.testing.assert_close(curvatures[0, :ends], BEND.flip(0)[:ends], rtol=2e-3, atol=2e-3)
    torch.testing.assert_close(curvatures[0, ends:], BEND[:ends].flip(0), rtol=2e-3, atol=2e-3)
    # the largest bends along the last coordinate before the normal, the smallest along the first
    assert directions.flatten(2)[0, 0, 10].abs() > 0.999
    assert directions.flatten(2)[0, -1, 0].abs() > 0.999


def test_small_images_have_all_their_directions_taken():
    tangents = candidate_tangents(Graph(), at_the_middle(Graph()), ends=9, step=0.1, dense=False)
    assert tangents.shape[:2] == (1, 11)


def test_a_kink_is_the_most_curved_direction():
    points = at_the_middle(Graph()).take(torch.tensor([0]))
    z = torch.full_like(points.point, 0.5)
    gradient = torch.zeros_like(z)
    gradient.view(1, -1)[0, 1] = -1.0
    basis = torch.eye(12, dtype=torch.float64)[[2, 0, 5]].reshape(1, 3, 1, 3, 4)
    roof = points.__class__(**{**vars(points), "point": z, "gradient": gradient})
    curvatures, directions = principal_at_scale(Roof(), roof, basis, scale=0.1)
    # at distance t the boundary is t above its tangent plane on the far side, 2 t / t^2; heights of a kink do not add
    # up, so that directions beside it take part
    assert curvatures[0, 0] >= 20
    assert directions[0, 0].flatten()[0].abs() > 0.9


class Bowl(torch.nn.Module):
    """Over 200 pixels a quadric of few curvatures that are not 0; the last pixel is the normal's."""

    def forward(self, x):
        y = x.flatten(1) - 0.5
        bend = torch.zeros(199, dtype=y.dtype)
        bend[[3, 50, 120, 198]] = torch.tensor([2.0, -1.0, 1.0, -3.0], dtype=y.dtype)
        value = (bend * y[:, :-1].square()).sum(1) / 2 - y[:, -1]
        return torch.stack([value, torch.zeros_like(value)], 1)


def test_the_ends_of_many_pixels_are_found_in_a_krylov_space_of_few_products():
    passed = []

    class Counted(Bowl):
        def forward(self, x):
            passed.append(len(x))
            return super().forward(x)

    x = torch.full((3, 1, 10, 20), 0.5, dtype=torch.float64)
    x[:, :, -1, -1] -= torch.tensor([1e-3, 2e-3, 3e-3])[:, None]
    points = FAMILIES["deepfool_end"](Bowl(), x, generator(0, "x"))
    tangents = candidate_tangents(Counted(), points, ends=2, step=0.1, dense=False)
    # both sides of 36 products, of all points at a time
    assert passed == [3] * 72
    exact = candidate_tangents(Bowl(), points, ends=2, step=0.1, dense=True)
    overlap = (tangents.flatten(2) * exact.flatten(2)).sum(2).abs()
    torch.testing.assert_close(overlap, torch.ones(3, 4).double(), atol=1e-6, rtol=0)
    alone = candidate_tangents(Bowl(), points.take(torch.tensor([1])), ends=2, step=0.1, dense=False)
    torch.testing.assert_close((alone[0] * tangents[1]).flatten(1).sum(1).abs(), torch.ones(4).double())


def test_a_boundary_that_does_not_bend_has_tangents_all_the_same():
    with torch.random.fork_rng():
        flat = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(200, 2).double())
    x = torch.rand(2, 1, 10, 20, dtype=torch.float64, generator=generator(0, "x"))
    points = FAMILIES["deepfool_end"](flat, x, generator(0, "x"))
    tangents = candidate_tangents(flat, points, ends=2, step=0.1, dense=False).flatten(2)
    torch.testing.assert_close(tangents @ tangents.mT, torch.eye(4).double().expand(2, 4, 4), atol=1e-8, rtol=0)
    torch.testing.assert_close(tangents @ points.normal.flatten(1)[:, :, None], torch.zeros(2, 4, 1).double())
