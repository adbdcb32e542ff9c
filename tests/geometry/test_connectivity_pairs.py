"""Around the path finder: the three scenarios, points along a path, convex combinations."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bdry.data import Split
from bdry.errors import UsageError
from bdry.geometry.regions.connectivity import find_paths
from bdry.geometry.regions.convexity import ALL_CLASSES, convex_combinations
from bdry.geometry.regions.paths import check_segments, filmstrip, num_intervals, path_length
from bdry.geometry.regions.projection import Projection, project_into
from bdry.geometry.regions.scenarios import SCENARIOS
from bdry.models import build_classifier


def split(n: int = 40, seed: int = 0) -> Split:
    draw = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (n, 1, 4, 4), generator=draw, dtype=torch.uint8)
    return Split(images, torch.arange(n) % 3, 100 + torch.arange(n))


def network(num_classes: int = 3) -> nn.Module:
    options = {"widths": [32], "activation": "relu"}
    model = build_classifier("mlp", (1, 4, 4), num_classes, mean=[0.5], std=[0.1], seed=0, options=options)
    return model.eval().requires_grad_(False)


class Constant(nn.Module):
    def forward(self, x):
        return 0 * x.flatten(1).sum(1, keepdim=True) + torch.tensor([1.0, 0.0])


@pytest.mark.parametrize("name", list(SCENARIOS))
@pytest.mark.parametrize("num_classes", [2, 3])
def test_scenarios_give_pairs_of_one_region(name, num_classes):
    model, images = network(num_classes), split()
    predicted = model(images.pixels()).argmax(1)
    pairs = SCENARIOS[name](model, images, 50, seed=3)
    assert bool(pairs.success.all())
    assert torch.equal(pairs.x1, images.pixels()[pairs.index1 - 100])
    for points in (pairs.x1, pairs.x2):
        assert torch.equal(model(points).argmax(1), pairs.label)
    if name == "natural":
        assert bool((pairs.index1 != pairs.index2).all())
        assert torch.equal(pairs.x2, images.pixels()[pairs.index2 - 100])
    if name == "perturbed":
        assert bool((predicted[pairs.index2 - 100] != pairs.label).all())
        # the perturbation is a small one
        assert bool(((pairs.x2 - images.pixels()[pairs.index2 - 100]).flatten(1).norm(dim=1) < 2).all())
    if name == "random":
        assert bool((pairs.index2 == -1).all())
        radius = images.pixels().flatten(1).norm(dim=1).mean()
        still = pairs.backwards == 0
        torch.testing.assert_close(pairs.x2[still].flatten(1).norm(dim=1), radius.expand(int(still.sum())))
    result = find_paths(model, pairs.x1, pairs.x2, step=1e-2)
    assert float(result.found.float().mean()) > 0.9


@pytest.mark.parametrize("name", list(SCENARIOS))
def test_scenarios_follow_from_their_seed(name):
    first, again, other = (SCENARIOS[name](network(), split(), 20, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.x1, again.x1)
    assert torch.equal(first.x2, again.x2)
    assert not torch.equal(first.index1, other.index1)


def test_pairs_are_drawn_evenly():
    pairs = SCENARIOS["natural"](Constant(), split(4), 4000)
    counts = torch.zeros(4, 4).index_put_((pairs.index1 - 100, pairs.index2 - 100), torch.ones(4000), accumulate=True)
    assert float(counts.diagonal().sum()) == 0
    off = counts[~torch.eye(4, dtype=torch.bool)]
    # 12 kinds of pairs with 333 each, five standard deviations
    assert bool(((off - 4000 / 12).abs() < 5 * (4000 / 12) ** 0.5).all())


def test_scenarios_that_there_are_no_images_for_give_no_pairs():
    for pairs in (
        SCENARIOS["natural"](network(), split(1), 5),
        SCENARIOS["perturbed"](Constant(), split(), 5),
        SCENARIOS["random"](lambda x: torch.full((len(x), 3), torch.nan), split(), 5),
    ):
        assert pairs.x1.shape == pairs.x2.shape == (0, 1, 4, 4)
        assert {len(column) for column in vars(pairs).values()} == {0}
    with pytest.raises(UsageError, match="did you mean scenario=perturbed"):
        SCENARIOS["pertubed"]


def test_a_region_that_is_not_reached_is_marked():
    x = split(3).pixels()
    moved = project_into(Constant(), x, torch.tensor([0, 1, 1]), Projection(), batch_size=2)
    assert moved.reached.tolist() == [True, False, False]
    assert torch.equal(moved.points, x)
    assert moved.forwards[0] == 1
    assert find_paths(Constant(), x[:1], x[1:2], step=1e-2).found.tolist() == [True]


def test_projected_points_are_just_inside():
    model, x = network(), split().pixels()
    target = (model(x).argmax(1) + 1) % 3
    for clipped in (False, True):
        moved = project_into(model, x, target, Projection(clipped=clipped), batch_size=16)
        ok = moved.reached
        assert float(ok.float().mean()) > 0.9
        assert torch.equal(model(moved.points[ok]).argmax(1), target[ok])
        before = x[ok] + 0.97 * (moved.points[ok] - x[ok])
        assert not bool((model(before).argmax(1) == target[ok]).any())
        if clipped:
            assert 0 <= float(moved.points.min()) <= float(moved.points.max()) <= 1


def test_a_filmstrip_has_equal_arc_length():
    corner = torch.tensor([[0.0, 0.0], [3.0, 0.0], [3.0, 1.0]], dtype=torch.float64)
    assert path_length(corner) == 4
    expected = torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [3.0, 0.0], [3.0, 1.0]], dtype=torch.float64)
    torch.testing.assert_close(filmstrip(corner, 5), expected, rtol=0, atol=1e-15)
    # an anchor met twice, and a path of no length
    torch.testing.assert_close(filmstrip(corner[[0, 1, 1, 2]], 5), expected, rtol=0, atol=1e-15)
    assert torch.equal(filmstrip(corner[[1, 1]], 3), corner[[1, 1, 1]])
    assert path_length(corner[:0]) == 0


@pytest.mark.parametrize("intervals", [1, 2, 3, 4, 5, 17, 64, 1023, 1024, 1025, 5000])
def test_the_stages_of_a_segment_cover_every_sample_once(intervals):
    seen = []

    def model(p):
        seen.append(p[:, 0].clone())
        return torch.stack([torch.ones(len(p)), torch.zeros(len(p))], 1)

    start, end = torch.zeros(1, 1, dtype=torch.float64), torch.full((1, 1), float(intervals), dtype=torch.float64)
    label = torch.zeros(1, dtype=torch.int64)
    right, checks = check_segments(model, start, end, label, torch.tensor([intervals]), batch_size=37)
    assert bool(right)
    assert int(checks) == intervals - 1
    found = torch.cat([*seen, torch.zeros(0)]).sort().values.round().to(torch.int64)
    assert torch.equal(found, torch.arange(1, intervals))


@pytest.mark.parametrize("wrong", [1, 2, 63, 64, 500, 998, 999])
def test_one_wrong_sample_is_enough(wrong):
    def model(p):
        return torch.stack([((p[:, 0] - wrong).abs() < 0.5).double(), torch.full_like(p[:, 0], 0.5)], 1)

    start, end = torch.zeros(3, 1, dtype=torch.float64), torch.full((3, 1), 1000.0, dtype=torch.float64)
    end[1], end[2] = wrong - 0.5, -1000.0
    label = torch.ones(3, dtype=torch.int64)
    right, _ = check_segments(model, start, end, label, torch.full((3,), 1000), batch_size=64)
    assert right.tolist() == [False, True, True]


def test_segments_are_divided_by_the_step():
    start, end = torch.zeros(3, 2), torch.tensor([[3.0, 4.0], [0.0, 0.0], [1e-6, 0.0]])
    step = torch.tensor([1e-3, 1e-3, 1e-3], dtype=torch.float64)
    assert num_intervals(start, end, step).tolist() == [5000, 1, 1000]


class Line(nn.Module):
    """Class 0 is where |x| > 1, on a line."""

    def forward(self, x):
        size = x.flatten(1).abs().amax(1)
        return torch.stack([size, torch.ones_like(size)], 1)


def test_the_share_of_convex_combinations_that_stay_is_known_on_a_line():
    ends = torch.tensor([[-2.0], [2.0]])
    # w uniform: 2 (2 w - 1) is uniform on [-2, 2], and outside [-1, 1] half of the time
    each, pooled = convex_combinations(Line(), ends, ks=[2], num_per_class=4000)
    assert (each.region, pooled.region) == (0, ALL_CLASSES)
    assert (each.k, each.n, each.weight_law) == (2, 4000, "dirichlet")
    assert each.hit_rate == pooled.hit_rate
    assert abs(each.hit_rate - 0.5) < 5 * (0.25 / 4000) ** 0.5
    assert each.ci_low < 0.5 < each.ci_high
    middle, _ = convex_combinations(Line(), ends, ks=[2], num_per_class=50, weight_law="uniform")
    assert middle.hit_rate == 0
    assert middle.ci_low == pytest.approx(0, abs=1e-12)
    assert 0 < middle.ci_high < 0.1


def test_convex_regions_keep_all_combinations():
    draw = torch.Generator().manual_seed(0)
    weight = torch.randn(3, 5, generator=draw)
    rows = convex_combinations(
        lambda x: x @ weight.T, torch.randn(200, 5, generator=draw), ks=[2, 10], num_per_class=40
    )
    assert [(row.k, row.region) for row in rows] == [(k, region) for k in (2, 10) for region in (0, 1, 2, ALL_CLASSES)]
    assert {row.hit_rate for row in rows} == {1.0}
    assert [row.n for row in rows if row.region == ALL_CLASSES] == [120, 120]


def test_combinations_that_are_not_possible_are_refused():
    with pytest.raises(ValueError, match="k=3: no region has so many of the 2 images; the largest has 2"):
        convex_combinations(Line(), torch.tensor([[-2.0], [2.0]]), ks=[2, 3])
    with pytest.raises(ValueError, match="did you mean uniform"):
        convex_combinations(Line(), torch.tensor([[-2.0], [2.0]]), weight_law="unifrom")
