"""IDC on classifiers whose boundary is known: plane, disc, sine."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from bdry.deepdig import Estimate, bisect, of_both, oscillation


def linear(x):
    value = 8 * (x.flatten(1) - 0.5).sum(1)
    return torch.stack([value, -value], 1)


def disc(x):
    value = 40 * (((x.flatten(1) - 0.5) ** 2).sum(1) - 0.09)
    return torch.stack([value, -value], 1)


def sine(periods):
    def model(x):
        u, v = x.flatten(1).unbind(1)
        value = 20 * (v - 0.5 - 0.2 * (2 * math.pi * periods * u).sin())
        return torch.stack([value, -value], 1)

    return model


def borderline(model, n=120, dimension=2, seed=0):
    # float64: what is counted is the signs of the ends, not rounding
    x = torch.rand(6000, 1, 1, dimension, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    label = model(x).argmax(1)
    n = min(n, int((label == 0).sum()), int((label == 1).sum()))
    found = bisect(model, x[label == 0][:n], x[label == 1][:n], (0, 1))
    return found.point[found.success]


def test_a_plane_has_only_the_flips_of_its_ends():
    # the ends lie on either side by chance
    points = borderline(linear, 150, dimension=20)
    result = oscillation(linear, points, (0, 1), seed=0, partners=20)
    assert result.hysteresis.mean == 0
    assert 0.4 <= result.flips.mean <= 0.6
    assert result.idc.mean == pytest.approx(result.flips.mean / 50)
    assert result.undecided.mean == 1


def test_a_convex_region_has_no_genuine_flip():
    result = oscillation(disc, borderline(disc), (0, 1), seed=0, partners=20)
    assert result.hysteresis.mean == 0
    assert result.undecided.mean < 1


def test_a_sine_has_more_flips_the_more_periods():
    flips = [oscillation(sine(k), borderline(sine(k)), (0, 1), seed=0, partners=20).hysteresis for k in (1, 2, 4)]
    assert flips[0].mean > 5 * flips[0].error
    assert flips[1].mean > flips[0].mean + 3 * flips[0].error
    assert flips[2].mean > flips[1].mean + 3 * flips[1].error


def test_what_depends_on_the_grid_and_what_does_not():
    # one period, finely resolved by both grids
    points = borderline(sine(1))
    coarse, fine = (oscillation(sine(1), points, (0, 1), seed=0, partners=20, grid=grid) for grid in (50, 200))
    assert 0.9 <= fine.flips.mean / coarse.flips.mean <= 1.2
    assert 3.3 <= coarse.idc.mean / fine.idc.mean <= 4.5
    assert abs(fine.hysteresis.mean - coarse.hysteresis.mean) <= 0.02


def test_counts_by_hand():
    """On a line with classes 0 1 0 2 0 in turn, from 0 to 1: every number is known."""

    def model(x):
        u = x.flatten(1)[:, 0]
        bounds = torch.tensor([0.2, 0.4, 0.6, 0.8])
        label = torch.tensor([0, 1, 0, 2, 0])[torch.bucketize(u, bounds)]
        return 20 * torch.nn.functional.one_hot(label, 3).float()

    points = torch.tensor([0.01, 1.0])[:, None, None, None]
    result = oscillation(model, points, (0, 1), seed=0, grid=100)
    assert (result.num_starts, result.num_segments) == (2, 2)
    assert result.flips.mean == 4
    assert result.interior.mean == 4
    assert result.hysteresis.mean == 4
    assert result.third_class.mean == pytest.approx(0.2, abs=0.01)


def test_errors_are_clustered_by_start():
    """Against the plain formula: the starts' means spread more than independent segments would."""
    points = borderline(sine(2), 40)
    result = oscillation(sine(2), points, (0, 1), seed=0, partners=39)
    per_start = [
        oscillation(sine(2), points, (0, 1), seed=seed, partners=39, max_starts=1).flips.mean for seed in range(60)
    ]
    # the deviation of single starts' means, over the root of their number
    assert result.flips.error == pytest.approx(torch.tensor(per_start).std().item() / math.sqrt(40), rel=0.35)


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_few_points_are_no_crash(n):
    result = oscillation(disc, borderline(disc)[:n], (0, 1), seed=0)
    assert result.num_segments == n * (n - 1)
    assert math.isnan(result.flips.mean) == (n < 2)
    assert result.partners == max(n - 1, 0)


def test_partners_are_other_points_and_differ():
    """Where every point has its own constant class, a segment from a point to itself would not flip at its middle."""
    points = borderline(disc, 30)
    whole = oscillation(disc, points, (0, 1), seed=0, partners=100)
    again = oscillation(disc, points, (0, 1), seed=1, partners=100)
    # all partners of all starts: the seed only orders them
    assert whole.num_segments == len(points) * (len(points) - 1)
    assert whole.flips.mean == pytest.approx(again.flips.mean)


def test_both_directions_weigh_the_same_and_their_errors_add_up():
    # as many as come from the side of the one class, and a few from that of the other
    there = oscillation(sine(2), borderline(sine(2)), (0, 1), seed=0, partners=10)
    back = oscillation(sine(2), borderline(sine(2), 12, seed=1), (1, 0), seed=0, partners=10)
    found = of_both(there, back)
    assert set(found) == {"idc", "flips", "first_step", "interior", "hysteresis", "undecided", "third_class"}
    for name, both in found.items():
        one, other = getattr(there, name), getattr(back, name)
        assert both.mean == pytest.approx((one.mean + other.mean) / 2)
        assert both.error == pytest.approx((one.error**2 + other.error**2) ** 0.5 / 2)
    assert found["flips"].error > there.flips.error / 2 > 0
    alone = of_both(there, dataclasses.replace(back, flips=Estimate(math.nan, math.nan)))
    assert math.isnan(alone["flips"].mean)
    assert alone["idc"] == found["idc"]
