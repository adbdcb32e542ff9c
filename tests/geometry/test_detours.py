"""Paths that need a long detour: found; parts of a region that are not joined: never (arXiv 1705.09552, section 2).

All regions are of class 0 of a classifier of the plane, in 2 dimensions or in a plane of 784.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from bdry.geometry.regions import FINDERS, Budget, find_paths, recheck


class Region(nn.Module):
    """Class 0 is where `value` >= 0."""

    def __init__(self, value) -> None:
        super().__init__()
        self.value = value

    def forward(self, x):
        value = self.value(x.flatten(1))
        return torch.stack([value, torch.zeros_like(value)], 1)


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def c_shape(half_angle: float, plane: Tensor) -> Region:
    """A ring from 1 to 2 without the sector around its first axis; `plane`: (d, 2), orthonormal."""

    def value(x: Tensor) -> Tensor:
        p = x @ plane
        r, angle = p.norm(dim=1), torch.atan2(p[:, 1], p[:, 0]).abs()
        return torch.minimum(torch.minimum(r - 1, 2 - r), r * (angle - half_angle))

    return Region(value)


def some_plane(d: int) -> Tensor:
    drawn = torch.randn(d, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(d))
    return torch.linalg.qr(drawn).Q


def beside_the_gap(half_angle: float, plane: Tensor, n: int = 10) -> tuple[Tensor, Tensor]:
    """Points up to half a radian from the gap, on its two sides."""
    u = uniform(n, 4, seed=round(100 * half_angle))
    ends = []
    for sign, angle, radius in ((1, u[:, 0], u[:, 1]), (-1, u[:, 2], u[:, 3])):
        at, r = sign * (half_angle + 0.02 + 0.5 * angle), 1.2 + 0.6 * radius
        ends.append(torch.stack([r * at.cos(), r * at.sin()], 1) @ plane.T)
    return ends[0], ends[1]


@pytest.mark.parametrize("d", [2, 784])
@pytest.mark.parametrize("half_angle", [0.6, 0.3, 0.05])
def test_the_arms_of_a_c_are_joined_all_the_way_round(half_angle, d):
    plane = some_plane(d)
    model, (x1, x2) = c_shape(half_angle, plane), beside_the_gap(half_angle, plane)
    result = find_paths(model, x1, x2, step=1e-3, batch_size=4096)
    assert int(result.found.sum()) >= 9
    # from about 2 to 20 times the distance of the ends
    least = 2 * (math.pi - half_angle - 0.52) / result.distance
    assert bool((result.relative_length[result.found] > least[result.found]).all())
    assert torch.equal(recheck(model, result, finer=10, batch_size=4096), result.found)


def test_the_bisection_alone_does_not_find_them():
    plane = some_plane(2)
    x1, x2 = beside_the_gap(0.05, plane)
    result = find_paths(c_shape(0.05, plane), x1, x2, step=1e-3, finder="bisection", batch_size=4096)
    assert not bool(result.found.any())
    assert not bool(result.by_tree.any())


def sphere(n: int, d: int, inner: float, outer: float, seed: int) -> Tensor:
    """Points in any direction, at radii between the two."""
    drawn = torch.randn(n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return drawn / drawn.norm(dim=1, keepdim=True) * (inner + (outer - inner) * uniform(n, 1, seed=seed))


def shifted(x: Tensor, by: float) -> Tensor:
    return torch.cat([x[:, :1] + by, x[:, 1:]], 1)


def balls(x: Tensor) -> Tensor:
    """Of radius 1, 0.1 apart."""
    return torch.maximum(1 - shifted(x, 1.05).norm(dim=1), 1 - shifted(x, -1.05).norm(dim=1))


def half_spaces(x: Tensor) -> Tensor:
    """0.1 apart."""
    return x[:, 0].abs() - 0.05


def shells(x: Tensor) -> Tensor:
    """Radii 0.75 to 1.25, and 1.75 to 2.25."""
    r = x.norm(dim=1)
    return 0.25 - torch.minimum((r - 1).abs(), (r - 2).abs())


@pytest.mark.parametrize("d", [2, 784])
@pytest.mark.parametrize("value", [balls, half_spaces, shells])
def test_what_is_not_connected_is_never_joined(value, d):
    if value is shells:
        x1, x2 = sphere(6, d, 0.8, 1.2, 1), sphere(6, d, 1.8, 2.2, 2)
    else:
        x1, x2 = shifted(sphere(6, d, 0, 0.9, 1), 1.05), shifted(sphere(6, d, 0, 0.9, 2), -1.05)
    result = find_paths(Region(value), x1, x2, step=1e-3, budget=Budget(retries=4), batch_size=4096)
    assert bool((result.label == 0).all())
    assert not bool(result.found.any())
    assert bool((result.attempts == 5).all())
    # within the shells there are paths, and they bend
    if value is shells:
        within = find_paths(Region(value), x1, x1.flip(0), step=1e-3, budget=Budget(retries=4), batch_size=4096)
        assert bool(within.found.all())


def test_parts_that_touch_in_a_point_are_not_joined():
    """The quadrants of x y > 0: near the origin a path comes nearer to the boundary than its samples are dense."""
    quadrants = Region(lambda p: p[:, 0] * p[:, 1])
    x1 = uniform(20, 2, seed=3)
    result = find_paths(quadrants, x1, -uniform(20, 2, seed=4), step=1e-3, budget=Budget(retries=4), batch_size=4096)
    assert not bool(result.found.any())


def test_trees_follow_from_the_seed_and_pairs_do_not_depend_on_each_other():
    plane = some_plane(2)
    model, (x1, x2) = c_shape(0.3, plane), beside_the_gap(0.3, plane, n=3)
    both = [find_paths(model, x1, x2, step=1e-3, seed=seed, batch_size=4096) for seed in (0, 0, 1)]
    assert bool(both[0].by_tree.all())
    ids = torch.tensor([2])
    alone = find_paths(model, x1[ids], x2[ids], step=1e-3, pair_ids=ids, batch_size=100)
    assert torch.equal(both[0].anchors[2], both[1].anchors[2])
    torch.testing.assert_close(alone.anchors[0], both[0].anchors[2], rtol=0, atol=1e-9)
    assert int(alone.label_checks) == int(both[0].label_checks[2])
    assert both[0].anchors[2].shape != both[2].anchors[2].shape or not torch.equal(
        both[0].anchors[2], both[2].anchors[2]
    )


def test_a_clipped_tree_stays_in_the_box():
    from bdry.geometry.regions import Projection

    # a U in the unit square, whose arms reach its upper side
    u = Region(lambda p: torch.maximum((p[:, 0] - 0.5).abs() - 0.2, 0.3 - p[:, 1]))
    x1 = torch.tensor([[0.1, 0.95]], dtype=torch.float64)
    result = find_paths(
        u,
        x1,
        1 - x1 * torch.tensor([1.0, 0.0]) - torch.tensor([0.0, 0.05]),
        step=1e-3,
        how=Projection(clipped=True),
        batch_size=4096,
    )
    assert bool(result.found.all())
    assert 0 <= float(result.anchors[0].min()) <= float(result.anchors[0].max()) <= 1


def test_the_finder_is_named():
    assert FINDERS == ("tree", "bisection")
    with pytest.raises(ValueError, match=r"finder=string: no such finder \(choices: tree, bisection\)"):
        find_paths(Region(half_spaces), uniform(1, 2), uniform(1, 2), finder="string")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"x2": uniform(3, 2)}, r"x1 of shape \(2, 2\), x2 \(3, 2\)"),
        ({"pair_ids": torch.arange(3)}, r"pair_ids of shape \(3,\): must be \(2,\)"),
        ({"step": 0.0}, "step=0.0: must be above 0"),
    ],
)
def test_arguments_that_do_not_fit_are_named(settings, words):
    with pytest.raises(ValueError, match=words):
        find_paths(Region(half_spaces), **({"x1": uniform(2, 2), "x2": uniform(2, 2)} | settings))
