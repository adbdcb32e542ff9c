"""The path finder on regions whose topology is known (fawzi2017, section 9.3), and its contract."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from bdry.geometry.regions.connectivity import find_paths, recheck
from bdry.geometry.regions.projection import Projection, project_into
from bdry.geometry.regions.search import Budget
from bdry.models import build_classifier


class Region(nn.Module):
    """Class 0 is where `value` >= 0, for points of the plane."""

    def __init__(self, value) -> None:
        super().__init__()
        self.value = value

    def forward(self, x):
        value = self.value(x.flatten(1))
        return torch.stack([value, torch.zeros_like(value)], 1)


def radius(p: Tensor) -> Tensor:
    return p.norm(dim=1)


XOR = Region(lambda p: p[:, 0] * p[:, 1])
RING = Region(lambda p: torch.minimum(radius(p) - 1, 2 - radius(p)))
DISC_OR_OUTSIDE = Region(lambda p: torch.maximum(1 - radius(p), radius(p) - 2))
# the unit square's left, right and lower 0.3
U_SHAPE = Region(lambda p: torch.maximum((p[:, 0] - 0.5).abs() - 0.2, 0.3 - p[:, 1]))


def spiral_value(p: Tensor) -> Tensor:
    """A band of half width 0.3 around r = 1 + angle / pi, over all windings: the windings are 2 apart."""
    winding = (radius(p) - 1) / 2 - torch.atan2(p[:, 1], p[:, 0]) / (2 * torch.pi)
    return 0.3 - 2 * (winding - winding.detach().round()).abs()


SPIRAL = Region(spiral_value)


def square(n: int, seed: int) -> Tensor:
    return torch.rand(n, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def annulus(n: int, inner: float, outer: float, seed: int) -> Tensor:
    """Uniform in area between two radii."""
    u = square(n, seed)
    r, angle = (inner**2 + (outer**2 - inner**2) * u[:, 0]).sqrt(), 2 * torch.pi * u[:, 1]
    return torch.stack([r * angle.cos(), r * angle.sin()], 1)


def spiral_point(angle: Tensor) -> Tensor:
    r = 1 + angle / torch.pi
    return torch.stack([r * angle.cos(), r * angle.sin()], 1)


def assert_certified(model: nn.Module, result, x1: Tensor, x2: Tensor) -> None:
    """B5 and B6: right at a tenth of the step, D >= 1, ends untouched, anchors of the label."""
    assert torch.equal(recheck(model, result, batch_size=4096), result.found)
    for pair in result.found.nonzero()[:, 0].tolist():
        anchors = result.anchors[pair]
        assert len(anchors) == int(result.num_anchors[pair]) + 2
        assert torch.equal(anchors[0], x1[pair])
        assert torch.equal(anchors[-1], x2[pair])
        assert torch.equal(model(anchors).argmax(1), result.label[pair].expand(len(anchors)))
    assert bool((result.relative_length[result.found] >= 1 - 1e-12).all())
    assert bool(result.relative_length[~result.found].isnan().all())


FEW = Budget(retries=3)


def test_xor_quadrants_are_two_components():
    x1, x2 = square(100, 0), square(100, 1)
    within = find_paths(XOR, x1, x2, step=1e-3, batch_size=4096)
    assert bool(within.straight.all())
    across = find_paths(XOR, x1, -x2, step=1e-3, budget=FEW, batch_size=4096)
    assert not bool(across.found.any())
    assert torch.equal(across.attempts, torch.full((100,), 4))
    assert [len(path) for path in across.anchors] == [0] * 100


def test_a_ring_is_connected_and_not_convex():
    x1, x2 = annulus(100, 1, 2, 0), annulus(100, 1, 2, 1)
    result = find_paths(RING, x1, x2, step=1e-3, batch_size=4096)
    assert bool(result.found.all())
    assert 10 < int(result.straight.sum()) < 90
    assert int(result.num_anchors.max()) > 3
    assert torch.equal(result.straight, result.num_anchors == 0)
    assert 1.01 < float(result.relative_length.max()) < 1.6
    assert_certified(RING, result, x1, x2)


def test_a_midpoint_in_another_component_is_what_retries_are_for():
    x1, x2 = annulus(100, 2, 4, 0), annulus(100, 2, 4, 1)
    once = find_paths(DISC_OR_OUTSIDE, x1, x2, step=1e-3, budget=Budget(retries=0), batch_size=4096)
    assert 60 <= int(once.found.sum()) < 95
    often = find_paths(DISC_OR_OUTSIDE, x1, x2, step=1e-3, batch_size=4096)
    assert int(often.found.sum()) >= 95
    assert bool(often.found[once.found].all())
    assert_certified(DISC_OR_OUTSIDE, often, x1, x2)


def test_no_path_is_found_between_the_disc_and_the_outside():
    result = find_paths(
        DISC_OR_OUTSIDE, annulus(100, 0, 1, 0), annulus(100, 2, 3, 1), step=1e-3, budget=FEW, batch_size=4096
    )
    assert not bool(result.found.any())
    assert bool((result.label == 0).all())


def test_the_arms_of_a_u_are_joined_around_its_gap():
    x1, x2 = square(40, 0) * torch.tensor([0.3, 1.0]), square(40, 1) * torch.tensor([0.3, 1.0])
    x2[:, 0] = 1 - x2[:, 0]
    result = find_paths(U_SHAPE, x1, x2, step=1e-3, budget=Budget(retries=30), batch_size=4096)
    assert int(result.found.sum()) >= 36
    assert_certified(U_SHAPE, result, x1, x2)


def test_along_a_spiral_near_points_are_joined_and_whatever_is_found_is_right():
    start = torch.linspace(0.2, 8, 20, dtype=torch.float64)
    near = find_paths(SPIRAL, spiral_point(start), spiral_point(start + 1), step=1e-3, batch_size=4096)
    assert bool(near.found.all())
    assert_certified(SPIRAL, near, spiral_point(start), spiral_point(start + 1))
    far = find_paths(
        SPIRAL, spiral_point(start), spiral_point(start + 10), step=1e-3, budget=Budget(retries=2), batch_size=4096
    )
    assert_certified(SPIRAL, far, spiral_point(start), spiral_point(start + 10))
    assert bool((far.label == 0).all())
    assert not bool(far.straight.any())


def affine(num_classes: int) -> nn.Module:
    layer = nn.Linear(6, num_classes, device="meta").to_empty(device="cpu").double()
    draw = torch.Generator().manual_seed(num_classes)
    layer.weight.data = torch.randn(num_classes, 6, generator=draw, dtype=torch.float64)
    layer.bias.data.zero_()
    return nn.Sequential(nn.Flatten(), layer).requires_grad_(False)


@pytest.mark.parametrize("num_classes", [2, 5])
def test_regions_of_an_affine_classifier_are_convex(num_classes):
    model = affine(num_classes)
    points = torch.randn(200, 1, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    labels = model(points).argmax(1)
    same = (labels[:100] == labels[100:]).nonzero()[:, 0]
    x1, x2 = points[:100][same], points[100:][same]
    result = find_paths(model, x1, x2, step=1e-3)
    assert bool(result.straight.all())
    torch.testing.assert_close(result.relative_length, torch.ones(len(same), dtype=torch.float64), rtol=1e-14, atol=0)
    assert bool((result.label_checks == 2 + 999).all())


@pytest.mark.parametrize("step", [5e-5, 4e-4])
def test_the_step_is_the_resolution(step):
    """A barrier of relative width 1e-4 is always seen with half its width as step, not with four times its width."""
    where = 0.2 + 0.6 * torch.rand(200, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x1 = torch.stack([torch.zeros(200, dtype=torch.float64), where], 1)
    x2 = x1 + torch.tensor([1.0, 0.0])
    # one barrier a pair, around x = y: pairs are told apart by their y
    barrier = Region(lambda p: (p[:, 0] - p[:, 1]).abs() - 5e-5)
    result = find_paths(barrier, x1, x2, step=step, budget=Budget(retries=0), batch_size=4096)
    if step == 5e-5:
        assert not bool(result.straight.any())
    else:
        # a sample hits the barrier with probability 1/4
        assert 0.6 < float(result.straight.double().mean()) < 0.9


def network(num_classes: int = 4, seed: int = 0) -> nn.Module:
    """A net with wild regions: weights three times the usual."""
    options = {"widths": [24, 24], "activation": "relu"}
    model = build_classifier("mlp", (1, 3, 3), num_classes, mean=[0.5], std=[0.1], seed=seed, options=options)
    for parameter in model.parameters():
        parameter.data *= 3
    return model.double().eval().requires_grad_(False)


def network_pairs(model: nn.Module, n: int = 24) -> tuple[Tensor, Tensor]:
    """Random images, and others of another label brought into the region of the first."""
    draw = torch.Generator().manual_seed(5)
    x1, x2 = torch.rand(2, n, 1, 3, 3, dtype=torch.float64, generator=draw)
    x2 = 3 * x2 - 1
    moved = project_into(model, x2, model(x1).argmax(1), Projection(), batch_size=64)
    assert bool(moved.reached.all())
    return x1, moved.points


def test_batched_equals_one_by_one():
    model = network()
    x1, x2 = network_pairs(model)
    together = find_paths(model, x1, x2, step=1e-3, budget=FEW)
    assert 0 < int(together.straight.sum()) < len(x1)
    assert int(together.attempts.max()) > 1
    for pair in range(len(x1)):
        ids = torch.tensor([pair])
        alone = find_paths(model, x1[ids], x2[ids], step=1e-3, budget=FEW, pair_ids=ids, batch_size=100)
        torch.testing.assert_close(alone.anchors[0], together.anchors[pair], rtol=1e-6, atol=1e-6)
        for name in ("label", "straight", "found", "num_anchors", "depth", "attempts", "calls", "budget_hit"):
            assert int(getattr(alone, name)) == int(getattr(together, name)[pair]), name
        for name in ("label_checks", "projections", "backwards"):
            assert int(getattr(alone, name)) == int(getattr(together, name)[pair]), name
        # DeepFool evaluates those that go on once more where others of their batch do not
        assert abs(int(alone.forwards) - int(together.forwards[pair])) <= 60 * int(alone.projections)


def recursive_path(model: nn.Module, x1: Tensor, x2: Tensor, label: int, spacing: float, level: int = 0) -> list | None:
    """Section 2.2 as it is written: the anchors strictly between both ends, or None."""
    count = max(1000, math.ceil(float((x2 - x1).norm()) / spacing))
    shares = torch.linspace(0, 1, count + 1, dtype=torch.float64)[:, None]
    if bool((model(x1 + shares * (x2 - x1)).argmax(1) == label).all()):
        return []
    middle = ((x1 + x2) / 2)[None]
    if int(model(middle).argmax()) != label:
        further = min(2.0**level, 50.0)
        middle = project_into(model, middle, torch.tensor([label]), Projection(), batch_size=1, further=further).points
    if level == 16 or int(model(middle).argmax()) != label:
        return None
    before = recursive_path(model, x1, middle[0], label, spacing, level + 1)
    after = None if before is None else recursive_path(model, middle[0], x2, label, spacing, level + 1)
    return None if after is None else [*before, middle[0], *after]


def test_the_paths_are_those_of_the_plain_recursion():
    x1, x2 = annulus(40, 1, 2, 3), annulus(40, 1, 2, 4)
    result = find_paths(RING, x1, x2, step=1e-3, budget=Budget(retries=0), batch_size=4096)
    for pair in range(40):
        spacing = 1e-3 * float((x2[pair] - x1[pair]).norm())
        inner = recursive_path(RING, x1[pair], x2[pair], 0, spacing)
        assert (inner is not None) == bool(result.found[pair])
        if inner is not None:
            torch.testing.assert_close(
                torch.stack([x1[pair], *inner, x2[pair]]), result.anchors[pair], rtol=0, atol=1e-5
            )


class Counted(nn.Module):
    """Counts what passes through."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.forwards, self.backwards = model, 0, 0

    def forward(self, x):
        self.forwards += len(x)
        logits = self.model(x)
        if logits.requires_grad:
            logits.register_hook(self.count)
        return logits

    def count(self, gradient):
        self.backwards += len(gradient)


def test_passes_are_counted():
    x1, x2 = network_pairs(network())
    model = Counted(network())
    result = find_paths(model, x1, x2, step=1e-3, budget=FEW)
    assert int(result.forwards.sum()) == model.forwards
    assert int(result.backwards.sum()) == model.backwards
    assert int(result.backwards.sum()) > 0
    assert bool((result.label_checks <= result.forwards).all())


def test_every_sample_of_the_certificate_is_looked_up_once():
    seen = []

    def remember(p):
        seen.append(p[:, 0].clone())
        return torch.ones(len(p), dtype=p.dtype)

    ends = torch.zeros(1, 2, dtype=torch.float64), torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    result = find_paths(Region(remember), *ends, step=1 / 2500, batch_size=170)
    assert bool(result.straight.all())
    looked_up = torch.cat(seen).sort().values
    torch.testing.assert_close(looked_up, torch.arange(2501, dtype=torch.float64) / 2500, rtol=0, atol=1e-15)
    assert int(result.label_checks) == 2501


def test_found_paths_of_a_network_hold_at_their_own_step():
    model = network()
    x1, x2 = network_pairs(model)
    result = find_paths(model, x1, x2, step=1e-3, budget=FEW)
    assert torch.equal(recheck(model, result, finer=1), result.found)
    assert int(result.found.sum()) >= 12


@pytest.mark.parametrize("budget", [Budget(depth=1, retries=0), Budget(calls=4, retries=0), Budget(calls=0, retries=0)])
def test_a_spent_budget_is_said(budget):
    x1 = torch.tensor([[1.5, 0.0]], dtype=torch.float64)
    result = find_paths(RING, x1, -x1 + 0.01, step=1e-3, budget=budget)
    assert not bool(result.found)
    assert bool(result.budget_hit)
    assert int(result.attempts) == 1
    assert int(result.depth) <= budget.depth
    assert int(result.calls) <= max(1, budget.calls)


def test_a_split_point_that_cannot_be_brought_back_is_no_spent_budget():
    # outside the ring the value has no slope
    stuck = Region(lambda p: torch.where(RING.value(p) < 0, -0.1, RING.value(p)))
    x1 = torch.tensor([[1.5, 0.0]], dtype=torch.float64)
    result = find_paths(stuck, x1, -x1 + 0.01, step=1e-3, budget=Budget(retries=0))
    assert not bool(result.found)
    assert not bool(result.budget_hit)


def test_pairs_of_different_labels_or_without_one_are_marked():
    x1 = torch.tensor([[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]], dtype=torch.float64)
    x2 = torch.tensor([[-0.5, 0.5], [torch.nan, 0.5], [0.7, 0.1]], dtype=torch.float64)
    result = find_paths(XOR, x1, x2, step=1e-2)
    assert result.label.tolist() == [-1, -1, 0]
    assert result.found.tolist() == [False, False, True]
    assert result.label_checks.tolist() == [2, 2, 1001]
    assert result.attempts.tolist() == [0, 0, 1]


def test_a_point_on_the_boundary_has_the_label_of_the_tie():
    x1 = torch.tensor([[0.0, 0.5]], dtype=torch.float64)
    result = find_paths(XOR, x1, torch.tensor([[0.5, 0.5]], dtype=torch.float64), step=1e-2)
    assert int(result.label) == 0
    assert bool(result.straight)


def test_where_there_is_no_boundary_every_segment_is_straight():
    everywhere = Region(lambda p: torch.ones(len(p)))
    result = find_paths(everywhere, square(5, 0), square(5, 1), step=1e-2)
    assert bool(result.straight.all())
    assert int(result.backwards.sum()) == 0


def test_identical_points_are_joined_by_nothing():
    x = square(3, 0)
    result = find_paths(XOR, x, x)
    assert bool(result.straight.all())
    assert torch.equal(result.relative_length, torch.ones(3, dtype=torch.float64))
    assert result.label_checks.tolist() == [2, 2, 2]


def test_no_pairs_are_no_rows():
    result = find_paths(XOR, square(0, 0), square(0, 0))
    assert result.anchors == ()
    assert len(result.found) == 0


def test_random_splits_follow_from_the_seed():
    x1, x2 = annulus(30, 2, 3, 0), annulus(30, 2, 3, 1)
    first, again, other = (
        find_paths(DISC_OR_OUTSIDE, x1, x2, step=1e-2, seed=seed, batch_size=4096) for seed in (0, 0, 1)
    )
    for one, two in zip(first.anchors, again.anchors, strict=True):
        assert torch.equal(one, two)
    assert any(
        one.shape != two.shape or not torch.equal(one, two)
        for one, two in zip(first.anchors, other.anchors, strict=True)
    )


def test_a_clipped_search_stays_in_the_box():
    model = network()
    draw = torch.Generator().manual_seed(1)
    x1, x2 = torch.rand(2, 60, 1, 3, 3, dtype=torch.float64, generator=draw)
    same = model(x1).argmax(1) == model(x2).argmax(1)
    how = Projection(clipped=True)
    result = find_paths(model, x1[same], x2[same], step=1e-2, budget=FEW, how=how)
    assert int(result.num_anchors.max()) > 0
    every = torch.cat(result.anchors)
    assert float(every.min()) >= 0
    assert float(every.max()) <= 1
