"""Seeds by purpose, norms and balls, moments."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bdry.core.moment import moment_steps
from bdry.core.norms import dual_norm, norm, project_ball, random_in_ball, steepest
from bdry.core.seeds import derive, generator


def test_streams_differ_by_seed_purpose_and_counter_and_repeat():
    seeds = {derive(s, p, c) for s in (0, 1) for p in ("order", "attack") for c in (0, 1)}
    assert len(seeds) == 8
    first = torch.rand(3, generator=generator(0, "order", 5))
    assert torch.equal(first, torch.rand(3, generator=generator(0, "order", 5)))


@pytest.mark.parametrize("name", ["l2", "linf"])
def test_the_steepest_direction_attains_the_dual_norm(name):
    gradient = torch.randn(8, 3, 4, 4, generator=generator(0, "test"))
    direction = steepest(gradient, name)
    torch.testing.assert_close(norm(direction, name), torch.ones(8))
    torch.testing.assert_close((gradient * direction).flatten(1).sum(1), dual_norm(gradient, name))
    assert bool((steepest(torch.zeros(2, 3), name) == 0).all())


@settings(max_examples=30, deadline=None)
@given(eps=st.floats(1e-4, 10), seed=st.integers(0, 99), name=st.sampled_from(["l2", "linf"]))
def test_projection_lands_in_the_ball_and_keeps_what_is_inside(eps, seed, name):
    delta = torch.randn(6, 5, generator=generator(seed, "test"))
    projected = project_ball(delta, name, eps)
    assert bool((norm(projected, name) <= eps * (1 + 1e-5)).all())
    inside = norm(delta, name) <= eps * (1 - 1e-5)
    torch.testing.assert_close(projected[inside], delta[inside])


@pytest.mark.parametrize(("name", "share"), [("l2", 0.5**3), ("linf", 0.5**3)])
def test_random_points_are_uniform_in_the_ball(name, share):
    points = random_in_ball(torch.Size((4000, 3)), name, 2.0, generator(0, "test"))
    lengths = norm(points, name)
    assert float(lengths.max()) <= 2.0
    # the ball of half the radius has 1/8 of the volume in three dimensions
    inside = float((lengths <= 1.0).float().mean())
    assert abs(inside - share) < 4 * math.sqrt(share * (1 - share) / 4000)


def test_moments_are_listed_steps_and_ends_of_epochs_up_to_the_end():
    assert sorted(moment_steps([0, 10, 300], [1, 2, 50], 8, 24)) == [0, 8, 10, 16, 24]
    assert sorted(moment_steps([0], [], 8, 0)) == [0]
