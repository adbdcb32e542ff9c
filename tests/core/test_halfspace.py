"""Projection onto a hyperplane, in the space and in the box, against scipy and against what optimality demands."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import linprog, minimize

from bdry.core.halfspace import UNIT_BOX, project_hyperplane
from bdry.core.norms import dual_norm, project_ball
from bdry.core.norms import norm as norm_of


def problem(n: int, shape: tuple[int, ...], seed: int, dtype=torch.float64, offset: float = 0.5):
    draw = torch.Generator().manual_seed(seed)
    x = torch.rand(n, *shape, generator=draw, dtype=dtype)
    x[:, ..., 0] = x[:, ..., 0].round()
    w = torch.randn(n, *shape, generator=draw, dtype=dtype)
    w.flatten(1)[:, -1] = 0
    b = offset * torch.randn(n, generator=draw, dtype=dtype) - (w * x).flatten(1).sum(1)
    return x, w, b


def project(x, w, b, norm, box):
    """Onto <w, y> + b = 0; that sum in float64, as its rounding would move the plane."""
    excess = ((w.double() * x.double()).flatten(1).sum(1) + b.double()).to(x.dtype)
    return project_hyperplane(x, w, excess, norm, box)


def residual(x, w, b, delta):
    return (w * (x + delta)).flatten(1).sum(1) + b


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_in_the_whole_space_the_distance_is_the_dual_norms(norm, dtype):
    x, w, b = problem(50, (3, 4, 2), 0, dtype)
    delta, reachable = project(x, w, b, norm, None)
    assert bool(reachable.all())
    assert delta.dtype == dtype
    expected = residual(x, w, b, torch.zeros_like(x)).abs() / dual_norm(w, norm)
    torch.testing.assert_close(norm_of(delta, norm), expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(residual(x, w, b, delta), torch.zeros_like(b), rtol=0, atol=1e-5)


@pytest.mark.parametrize("offset", [0.3, 1.5])
def test_in_the_box_linf_equals_linear_programming(offset):
    x, w, b = problem(40, (2, 3), 1, offset=offset)
    delta, reachable = project(x, w, b, "linf", UNIT_BOX)
    for i in range(len(x)):
        start, normal = x[i].flatten().numpy(), w[i].flatten().numpy()
        d = len(start)
        radius = np.zeros(d + 1)
        radius[-1] = 1
        within = np.block([[np.eye(d), -np.ones((d, 1))], [-np.eye(d), -np.ones((d, 1))]])
        on_plane = np.append(normal, 0)[None]
        bounds = [(-v, 1 - v) for v in start] + [(0, None)]
        best = linprog(radius, within, np.zeros(2 * d), on_plane, [-(b[i].item() + normal @ start)], bounds)
        assert best.success == bool(reachable[i])
        if best.success:
            assert float(delta[i].abs().max()) == pytest.approx(best.fun, abs=1e-8)


@pytest.mark.parametrize("offset", [0.3, 1.5])
def test_in_the_box_l2_equals_quadratic_programming(offset):
    x, w, b = problem(30, (2, 3), 2, offset=offset)
    delta, reachable = project(x, w, b, "l2", UNIT_BOX)
    assert int(reachable.sum()) > 0
    for i in reachable.nonzero()[:, 0]:
        start, normal = x[i].flatten().numpy(), w[i].flatten().numpy()
        excess = b[i].item() + normal @ start
        best = minimize(
            lambda d: d @ d,
            delta[i].flatten().numpy() * 0,
            jac=lambda d: 2 * d,
            bounds=[(-v, 1 - v) for v in start],
            constraints={
                "type": "eq",
                "fun": lambda d, n=normal, e=excess: n @ d + e,
                "jac": lambda d, n=normal: n,
            },
            method="SLSQP",
            options={"ftol": 1e-14, "maxiter": 500},
        )
        assert best.success
        assert float(delta[i].square().sum()) == pytest.approx(best.fun, abs=1e-7)


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_reachable_rows_land_on_the_plane_and_the_others_in_the_nearest_corner(norm, dtype):
    x, w, b = problem(200, (1, 5, 5), 3, dtype, offset=4.0)
    delta, reachable = project(x, w, b, norm, UNIT_BOX)
    assert 0 < int(reachable.sum()) < 200
    assert float((x + delta).min()) >= -1e-7
    assert float((x + delta).max()) <= 1 + 1e-7
    left = residual(x, w, b, delta)
    torch.testing.assert_close(left[reachable], torch.zeros_like(left[reachable]), rtol=0, atol=2e-5)
    before = residual(x, w, b, torch.zeros_like(x))
    toward = -before.sign()[:, None, None, None] * w
    corner = torch.where(toward > 0, 1.0, torch.where(toward < 0, 0.0, x))
    torch.testing.assert_close((x + delta)[~reachable], corner[~reachable])
    assert bool((left * before)[~reachable].gt(0).all())
    free, _ = project(x, w, b, norm, None)
    assert bool((norm_of(delta, norm) >= norm_of(free, norm) * (1 - 1e-5))[reachable].all())


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("clipped", [False, True])
def test_rows_without_an_answer_stay_where_they_are(norm, clipped):
    x, w, b = problem(6, (4,), 4)
    w[0], b[0] = 0, 1
    w[1], b[1] = 0, 0
    w[2, 1] = torch.nan
    x[3, 1] = torch.inf
    b[4] = -(w[4] * x[4]).sum()
    delta, reachable = project(x, w, b, norm, UNIT_BOX if clipped else None)
    assert reachable[:5].tolist() == [False, True, False, False, True]
    assert bool((delta[:4] == 0).all())
    assert float(delta[4].abs().max()) < 1e-12
    assert bool(delta.isfinite().all())


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("clipped", [False, True])
@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_the_normals_length_does_not_matter(norm, clipped, scale):
    x, w, b = problem(20, (6,), 5, torch.float32)
    plain = project(x, w, b, norm, UNIT_BOX if clipped else None)
    scaled = project(x, scale * w, scale * b, norm, UNIT_BOX if clipped else None)
    torch.testing.assert_close(plain[0], scaled[0], rtol=1e-4, atol=1e-5)
    assert torch.equal(plain[1], scaled[1])


def test_no_pixels_of_the_plane_is_still_exact_when_the_gap_ends_at_the_corner():
    x, w, b = torch.full((1, 2), 0.5), torch.tensor([[1.0, 1.0]]), torch.tensor([-2.0])
    for norm in ("l2", "linf"):
        delta, reachable = project(x, w, b, norm, UNIT_BOX)
        assert bool(reachable.all())
        torch.testing.assert_close(x + delta, torch.ones(1, 2))


def test_a_ball_of_each_rows_own_radius():
    delta, radius = torch.tensor([[3.0, -4.0], [0.3, -0.4], [0.0, 0.0]]), torch.tensor([1.0, 1.0, 0.0])
    torch.testing.assert_close(project_ball(delta, "l2", radius), torch.tensor([[0.6, -0.8], [0.3, -0.4], [0.0, 0.0]]))
    torch.testing.assert_close(project_ball(delta, "linf", radius), torch.tensor([[1, -1], [0.3, -0.4], [0, 0]]))
    free = torch.full((3,), torch.inf)
    torch.testing.assert_close(project_ball(delta, "l2", free), delta)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_a_box_without_ends_is_the_whole_space(norm):
    draw = torch.Generator().manual_seed(5)
    x, w, excess = torch.rand(3, 5, generator=draw), torch.randn(3, 5, generator=draw), torch.ones(3)
    w[:, 0] = 0
    delta, reachable = project_hyperplane(x, w, excess, norm, (-torch.inf, torch.inf))
    assert bool(reachable.all())
    assert torch.equal(delta, project_hyperplane(x, w, excess, norm)[0])


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_a_box_of_its_own_for_each_coordinate(norm):
    draw = torch.Generator().manual_seed(3)
    x, w, radius = (torch.rand(50, 8, generator=draw, dtype=torch.float64) for _ in range(3))
    b = -(w * x).sum(1) + 0.5 * (2 * torch.rand(50, generator=draw, dtype=torch.float64) - 1)
    low, high = x - radius, x + radius
    delta, reachable = project(x, w, b, norm, (low, high))
    assert bool(((x + delta >= low - 1e-12) & (x + delta <= high + 1e-12)).all())
    torch.testing.assert_close((w * (x + delta)).sum(1)[reachable], -b[reachable])
    reach = (w * radius).sum(1)
    assert torch.equal(reachable, ((w * x).sum(1) + b).abs() <= reach)
    # no nearer point of the plane among many inside the box
    for row in reachable.nonzero()[:10, 0].tolist():
        others = low[row] + (high[row] - low[row]) * torch.rand(20000, 8, generator=draw, dtype=torch.float64)
        near = ((others * w[row]).sum(1) + b[row]).abs() < 1e-3
        lengths = norm_of(others[near] - x[row], norm)
        assert not bool((lengths < norm_of(delta[row][None], norm) - 0.01).any())
