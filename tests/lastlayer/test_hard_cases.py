"""Features that make SVM solvers give up: tiny margins, common offsets, unequal scales, classes that overlap.

Truths are independent quadratic programs (cvxpy's Clarabel on all constraints, in coordinates where they are easy) and
linear programs (scipy's HiGHS).
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from bdry.lastlayer import LastLayer, angle_degrees, hard_margin_svm
from bdry.lastlayer.layer import pair_margins
from bdry.lastlayer.problem import problem_of

from .test_svm import by_cvxpy, separable, synthetic

DRAW = torch.randn(3, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

biases = pytest.mark.parametrize("bias", ["penalised", "none", "free"])


def nearly_touching(n, d, classes, distance, seed=0):
    """Clusters, but for two samples of different classes at `distance` from each other."""
    draw = np.random.default_rng(seed)
    y = np.arange(n) % classes
    x = 2 * draw.standard_normal((classes, d))[y] + draw.standard_normal((n, d))
    way = draw.standard_normal(d)
    x[1] = x[0] + distance * way / np.linalg.norm(way)
    return torch.from_numpy(x), torch.from_numpy(y)


def spread_of(x):
    return float((x - x.mean(0)).square().sum(1).mean().sqrt())


def margin_of(layer, x, y, bias):
    norm = layer.weights.norm() if bias == "free" else layer.joint().norm()
    return float(pair_margins(layer.logits(x), y).min() / norm)


@pytest.mark.parametrize("solver", [None, "interior"])
def test_a_free_bias_is_solved_where_a_penalised_one_is(solver):
    x, y = nearly_touching(200, 40, 10, 0.01)
    s1, s3 = (hard_margin_svm(x, y, bias, solver=solver) for bias in ("penalised", "free"))
    assert (s1.status, s3.status) == ("solved", "solved")
    assert s3.margin / spread_of(x) == pytest.approx(4e-4, rel=0.1)
    weights, _ = by_cvxpy(1e2 * x, y, 10, "free")
    assert angle_degrees(s3.layer.weights, weights) < 0.05
    assert margin_of(s3.layer, x, y, "free") == pytest.approx(s3.margin, rel=1e-6)


@pytest.mark.parametrize(("distance", "solved"), [(1e-3, True), (1e-4, True), (1e-5, True), (1e-6, False)])
def test_a_small_margin_is_never_called_none(distance, solved):
    x, y = nearly_touching(200, 40, 10, distance)
    for bias in ("penalised", "free"):
        found = hard_margin_svm(x, y, bias)
        assert found.status == "solved" if solved else found.status in ("solved", "unresolved"), bias
        assert found.upper > 1e-8 * spread_of(x)
        if found.separable:
            assert margin_of(found.layer, x, y, bias) == pytest.approx(found.margin, rel=1e-3)


def test_any_layer_that_separates_settles_it():
    # so little work finds nothing of its own
    x, y = nearly_touching(200, 40, 10, 1e-3)
    known = hard_margin_svm(x, y, "penalised").layer
    for bias in ("penalised", "free"):
        without = hard_margin_svm(x, y, bias, max_work=1e-3)
        told = hard_margin_svm(x, y, bias, max_work=1e-3, known=[known])
        assert (without.separable, without.status) == (False, "unresolved")
        assert told.separable
        assert told.margin >= (1 - 1e-6) * margin_of(known, x, y, bias)
    # what does not separate settles nothing, and does no harm
    wrong = LastLayer(-known.weights, -known.biases)
    assert hard_margin_svm(x, y, known=[wrong]).status == "solved"


@pytest.mark.parametrize("solver", ["interior", "liblinear", "accelerated"])
@biases
def test_a_common_offset_does_no_harm(bias, solver):
    x, y = separable(150, 20, 4, seed=2)
    x = 4 * x
    far = x + 1e4
    found = hard_margin_svm(far, y, bias, solver=solver)
    assert found.status == "solved"
    assert margin_of(found.layer, far, y, bias) == pytest.approx(found.margin, rel=1e-6)
    # the truth in coordinates that are easy: an orthogonal map of (h, 1) or of h, its offset in one column
    rows = far if bias == "none" else torch.cat([far, torch.ones_like(far[:, :1])], 1)
    if bias == "free":
        truth, _ = by_cvxpy(x, y, 4, "free")
        assert angle_degrees(found.layer.weights, truth) < 1e-2
        near = hard_margin_svm(x, y, bias)
        assert found.margin == pytest.approx(near.margin, rel=1e-6)
        return
    axes = torch.linalg.qr(torch.cat([rows.mean(0)[:, None], torch.eye(rows.shape[1]).double()], 1)).Q
    truth, _ = by_cvxpy(rows @ axes, y, 4, "none")
    ours = found.layer.weights if bias == "none" else found.layer.joint()
    assert angle_degrees(ours @ axes, truth) < 0.1
    assert found.margin == pytest.approx(1 / float(truth.norm()), rel=1e-4)


@pytest.mark.parametrize("solver", ["interior", "liblinear", "accelerated"])
@biases
def test_features_of_a_dead_layer_are_not_separable(bias, solver):
    """All features the same, as behind units that are all off; and one class at 0, which a bias alone gets away."""
    y = torch.arange(12) % 3
    for x in (torch.zeros(12, 3), torch.full((12, 3), 0.3)):
        assert hard_margin_svm(x.double(), y, bias, solver=solver).status == "not separable"
    x, y = separable(40, 10, 4, seed=1)
    x[y == 0] = 0
    found = hard_margin_svm(x, y, bias, solver=solver)
    assert (found.status, found.separable) == (("not separable", False) if bias == "none" else ("solved", True))


@pytest.mark.parametrize("offset", [1e6, 1e8, 1e10, 1e12, 1e14])
@pytest.mark.parametrize("d", [1, 5])
def test_a_large_common_offset_leaves_no_wrong_answer(d, offset):
    """What only the direction of the offset separates has a margin of about 1 / offset with a penalised bias."""
    draw = torch.Generator().manual_seed(0)
    x, y = torch.randn(12, d, generator=draw, dtype=torch.float64), torch.arange(12) % 2
    x[:, 0] = y + 0.2 * torch.rand(12, generator=draw, dtype=torch.float64)
    mixed = torch.randn(30, d, generator=draw, dtype=torch.float64)
    x[:, 0] += offset
    assert float(x[y == 0, 0].max()) < float(x[y == 1, 0].min())
    assert hard_margin_svm(x, y, "free").status == "solved"
    assert hard_margin_svm(x, y, "penalised").status in ("solved", "unresolved")
    # and what nothing separates is not solved
    labels = torch.arange(30) % 3
    assert not has_separating_layer(mixed, labels, 3)
    for bias in ("free", "penalised"):
        found = hard_margin_svm(mixed + offset, labels, bias)
        assert found.status == "not separable"
        assert not found.separable


@biases
def test_coordinates_of_the_problem_are_the_layers(bias):
    x, y = separable(50, 5, 3)
    x = x + torch.tensor([300.0, -20.0, 0.0, 5.0, 1.0])
    layer = LastLayer(DRAW[:, :5], DRAW[:, 5] * (bias != "none"))
    problem = problem_of(x, y, 3, bias)
    weights = problem.of_layer(layer)
    assert torch.allclose(problem.layer(weights).joint(), layer.joint(), rtol=1e-9, atol=1e-9)
    assert torch.allclose(problem.margins(weights), pair_margins(layer.logits(x), y), rtol=1e-9, atol=1e-8)
    norm = layer.weights.norm() if bias == "free" else layer.joint().norm()
    assert problem.norm(weights) == pytest.approx(float(norm) * problem.scale, rel=1e-9)


@pytest.mark.parametrize("solver", [None, "accelerated"])
def test_features_of_very_different_scales(solver):
    x, y = separable(200, 30, 4, seed=5)
    x = x * torch.logspace(-3, 3, 30, dtype=torch.float64)
    for bias in ("penalised", "free"):
        found = hard_margin_svm(x, y, bias, solver=solver)
        assert found.separable
        assert found.status == ("solved" if found.gap <= 1e-6 else "unresolved")
        assert margin_of(found.layer, x, y, bias) == pytest.approx(found.margin, rel=1e-6)
        assert found.gap < 1e-3


def overlapping(n, d, classes, seed=3):
    x, y = synthetic(n, d, classes, 1.0, seed=seed, r=4)
    x[1], y[0], y[1] = x[0], 0, 1
    return x, y


def has_separating_layer(x, y, classes):
    """Whether some [W b] has all pair margins at least 1: a feasible linear program."""
    joint = np.column_stack([x.numpy(), np.ones(len(x))])
    rows = []
    for sample, label in zip(joint, y.tolist(), strict=True):
        for other in set(range(classes)) - {label}:
            row = np.zeros((classes, joint.shape[1]))
            row[label], row[other] = -sample, sample
            rows.append(row.ravel())
    found = linprog(np.zeros(len(rows[0])), np.array(rows), -np.ones(len(rows)), bounds=(None, None), method="highs")
    return found.status == 0


@pytest.mark.parametrize(("n", "d", "classes"), [(120, 5, 3), (300, 40, 9)])
@pytest.mark.parametrize("bias", ["penalised", "free"])
def test_not_separable_is_proven(n, d, classes, bias):
    x, y = overlapping(n, d, classes)
    assert not has_separating_layer(x, y, classes)
    found = hard_margin_svm(x, y, bias)
    assert found.status == "not separable"
    assert found.upper <= 1e-9 * spread_of(x)
    assert math.isnan(found.margin)


@pytest.mark.parametrize("seed", range(6))
def test_labels_at_random_are_proven_or_solved_as_the_linear_program_says(seed):
    # about as many samples as weights: some sets can be separated, others cannot
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(16, 5, generator=draw, dtype=torch.float64)
    y = torch.randint(0, 3, (16,), generator=draw)
    truth = "solved" if has_separating_layer(x, y, 3) else "not separable"
    for bias in ("penalised", "free"):
        assert hard_margin_svm(x, y, bias, num_classes=3).status == truth
