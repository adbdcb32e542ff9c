"""The hard-margin K-class SVM: closed forms, independent solvers, certificates, invariances, bad inputs."""

from __future__ import annotations

import math
import time
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.datasets import make_blobs

from bdry.lastlayer import (
    SOLVERS,
    angle_degrees,
    hard_margin_svm,
    hard_one_vs_rest,
    paper_comparator,
    soft_margin_svm,
)
from bdry.lastlayer.layer import pair_margins
from bdry.lastlayer.problem import problem_of
from bdry.lastlayer.starts import PASSES, fitted

# fixture A of the specification, §7.1 item 1
POINTS = torch.tensor([[2.0, 0.0], [0.0, 1.0], [-1.0, -1.0]], dtype=torch.float64)
CLASSES = torch.arange(3)
EXACT = torch.tensor([[11 / 24, -7 / 24], [-1 / 24, 17 / 24], [-5 / 12, -5 / 12]], dtype=torch.float64)

solvers = pytest.mark.parametrize("solver", sorted(SOLVERS))
biases = pytest.mark.parametrize("bias", ["penalised", "none", "free"])


def synthetic(n, d, classes, separation, seed=0, r=64):
    """The features of §4.4 of the specification."""
    draw = np.random.default_rng(seed)
    means = draw.standard_normal((classes, d)) * separation
    factors = draw.standard_normal((r, d)) * 4 / np.sqrt(d)
    labels = draw.integers(0, classes, n)
    x = means[labels] + 0.5 * draw.standard_normal((n, r)) @ factors + 0.5 * draw.standard_normal((n, d))
    return torch.from_numpy(np.maximum(x, 0)), torch.from_numpy(labels)


def separable(n, d, classes, seed=0, room=0.3):
    """Normal features labelled by a random layer without bias, those within `room` of its boundaries left out."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(40 * n, d, generator=draw, dtype=torch.float64)
    logits = x @ torch.randn(classes, d, generator=draw, dtype=torch.float64).T
    top = logits.topk(2, dim=1).values
    keep = (top[:, 0] - top[:, 1] > room).nonzero()[:n, 0]
    return x[keep], logits[keep].argmax(1)


def blobs():
    """The authors' three blobs, raw plane: 5000 points, seed 100."""
    x, y = make_blobs(5000, centers=[(10, 10), (45, 75), (80, 10)], cluster_std=5, random_state=100)
    return torch.from_numpy(x), torch.from_numpy(y).long()


def by_cvxpy(x, y, classes, bias):
    cvxpy = pytest.importorskip("cvxpy")
    w, b = cvxpy.Variable((classes, x.shape[1])), cvxpy.Variable(classes)
    s = x.numpy() @ w.T + (0 if bias == "none" else cvxpy.reshape(b, (1, classes), order="C"))
    rows = np.arange(len(x))
    constraints = []
    for other in range(classes):
        mine = rows[y.numpy() != other]
        own = cvxpy.sum(cvxpy.multiply(s[mine], np.eye(classes)[y.numpy()[mine]]), axis=1)
        constraints.append(own - s[mine, other] >= 1)
    norm = cvxpy.sum_squares(w) + (cvxpy.sum_squares(b) if bias == "penalised" else 0)
    cvxpy.Problem(cvxpy.Minimize(norm), constraints).solve(solver="CLARABEL")
    return torch.from_numpy(w.value), torch.from_numpy(b.value - b.value.mean()) if bias != "none" else torch.zeros(
        classes
    )


@solvers
def test_fixture_a_is_solved_exactly(solver):
    found = hard_margin_svm(POINTS, CLASSES, "none", solver=solver)
    assert angle_degrees(found.layer.weights, EXACT) < 1e-4
    assert torch.allclose(found.layer.weights, EXACT, atol=1e-6)
    assert found.margin == pytest.approx(0.934199, abs=1e-6)
    assert 1 / found.margin**2 == pytest.approx(55 / 48, rel=1e-6)
    assert found.converged
    assert found.margin <= found.upper * (1 + 1e-12)


def test_hard_one_vs_rest_on_fixture_a_is_another_direction():
    exact, found = hard_margin_svm(POINTS, CLASSES, "none"), hard_one_vs_rest(POINTS, CLASSES, "none")
    assert angle_degrees(found.layer.weights, exact.layer.weights) == pytest.approx(19.29, abs=0.01)
    assert found.margin / exact.margin == pytest.approx(0.927, abs=5e-4)


@solvers
@pytest.mark.parametrize("classes", [2, 3, 5, 10])
def test_orthonormal_features(solver, classes):
    x, y = torch.eye(classes, dtype=torch.float64), torch.arange(classes)
    found = hard_margin_svm(x, y, "none", solver=solver)
    assert torch.allclose(found.layer.weights, x - 1 / classes, atol=1e-6)
    assert found.margin == pytest.approx(1 / math.sqrt(classes - 1), rel=1e-6)
    assert angle_degrees(hard_one_vs_rest(x, y, "none").layer.weights, found.layer.weights) < 1e-2


def test_three_raw_blobs_have_the_specified_solutions():
    x, y = blobs()
    s1, s3 = (hard_margin_svm(x, y, bias) for bias in ("penalised", "free"))
    rows = [(-0.019707, -0.014512, 1.630221), (-0.014504, 0.041164, -0.989285), (0.034211, -0.026651, -0.640937)]
    assert torch.allclose(s1.layer.joint(), torch.tensor(rows, dtype=torch.float64), atol=2e-6)
    rows = [(-0.032808, -0.017290, 2.066392), (0.005366, 0.029809, -1.246998), (0.027442, -0.012518, -0.819394)]
    assert torch.allclose(s3.layer.joint(), torch.tensor(rows, dtype=torch.float64), atol=2e-6)
    assert s1.margin == pytest.approx(0.496813, abs=2e-6)
    assert s3.margin == pytest.approx(17.671, abs=1e-3)
    assert angle_degrees(s1.layer.weights, s3.layer.weights) == pytest.approx(27.65, abs=0.01)


def test_agreement_of_three_solutions_on_the_blobs_is_a_weak_metric():
    x, y = blobs()
    s1, s3, paper = hard_margin_svm(x, y), hard_margin_svm(x, y, "free"), paper_comparator(x, y)
    assert paper.variant == "OvR"
    assert angle_degrees(paper.layer.joint(), s1.layer.joint()) == pytest.approx(4.55, abs=0.1)
    assert angle_degrees(paper.layer.weights, s1.layer.weights) == pytest.approx(16.6, abs=0.2)
    assert angle_degrees(paper.layer.weights, s3.layer.weights) == pytest.approx(11.4, abs=0.2)
    draw = np.random.RandomState(100)
    grid = torch.from_numpy(draw.uniform(-20, 100, (30000, 2)))
    labels = [solution.layer.predict(grid) for solution in (paper, s1, s3)]
    shares = [float((labels[a] == labels[b]).double().mean()) for a, b in ((0, 1), (1, 2), (0, 2))]
    assert shares == pytest.approx([0.921, 0.869, 0.935], abs=0.01)


@biases
@pytest.mark.parametrize(("d", "classes"), [(2, 3), (10, 3), (30, 4)])
def test_every_solver_agrees_with_cvxpy(bias, d, classes):
    x, y = separable(120, d, classes, seed=1)
    # a class without samples would leave its free bias open
    assert len(y.unique()) == classes
    weights, offsets = by_cvxpy(x, y, classes, bias)
    for solver in SOLVERS:
        found = hard_margin_svm(x, y, bias, solver=solver, gap=1e-10)
        assert found.separable, solver
        assert angle_degrees(found.layer.weights, weights) < 5e-3
        assert torch.allclose(found.layer.biases, offsets.double(), atol=1e-3 * float(weights.norm()))
        assert found.gap + 1e-12 >= 0


@biases
def test_two_classes_are_the_binary_svm(bias):
    x, y = separable(60, 3, 2)
    found = hard_margin_svm(x, y, bias)
    assert torch.allclose(found.layer.weights[0], -found.layer.weights[1])
    sign = 2 * y.double() - 1
    column = {"penalised": 1.0, "none": 0.0, "free": 1.0}[bias]
    z = (torch.cat([x, torch.full((60, 1), column)], 1) * sign[:, None]).numpy()
    weight = np.array([1.0] * 3 + [1.0 if bias != "free" else 0.0])
    best = minimize(
        lambda v: 0.5 * (weight * v * v).sum(),
        np.r_[found.layer.weights[1].numpy() * 3, float(found.layer.biases[1]) * 3],
        jac=lambda v: weight * v,
        constraints={"type": "ineq", "fun": lambda v: z @ v - 1, "jac": lambda v: z},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    assert np.allclose(best.x[:3], (found.layer.weights[1] - found.layer.weights[0]).numpy(), atol=1e-5)


@biases
@solvers
def test_the_certificate_is_what_the_multipliers_prove(bias, solver):
    x, y = synthetic(400, 20, 4, 0.8, seed=3, r=6)
    found = hard_margin_svm(x, y, bias, solver=solver)
    assert found.converged
    samples, others = found.pairs.T
    signs = torch.nn.functional.one_hot(y[samples], 4) - torch.nn.functional.one_hot(others, 4)
    weights = (found.multipliers[:, None] * signs).T @ x[samples]
    # at the solution W = sum alpha z, and sum alpha = ||W||^2
    assert torch.allclose(weights, found.layer.weights, atol=1e-6 * float(weights.norm()))
    bias_sums = (found.multipliers[:, None] * signs).sum(0)
    if bias == "penalised":
        assert torch.allclose(bias_sums, found.layer.biases, atol=1e-6 * float(weights.norm()))
    if bias == "free":
        assert float(bias_sums.norm()) < 1e-6 * float(found.multipliers.sum())
    norm = found.layer.weights if bias == "free" else found.layer.joint()
    assert float(found.multipliers.sum()) == pytest.approx(float(norm.square().sum()), rel=1e-5)
    margins = pair_margins(found.layer.logits(x), y)
    assert float(margins.min()) == pytest.approx(1, abs=1e-9)
    assert float(margins[samples, others].max()) == pytest.approx(1, abs=1e-4)


def test_few_and_many_features_meet():
    x, y = separable(600, 40, 6)
    newton, interior = (hard_margin_svm(x, y, solver=solver, gap=1e-9) for solver in ("liblinear", "interior"))
    assert angle_degrees(newton.layer.joint(), interior.layer.joint()) < 2e-3


@settings(deadline=None)
@given(
    st.integers(0, 1000),
    st.permutations(range(4)),
    st.floats(1e-2, 1e2),
    st.sampled_from(["penalised", "none", "free"]),
)
def test_invariances(seed, classes, factor, bias):
    x, y = separable(60, 4, 4, seed)
    found = hard_margin_svm(x, y, bias, num_classes=4)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(seed))
    again = hard_margin_svm(x[order], y[order], bias, num_classes=4)
    assert found.separable
    assert angle_degrees(again.layer.joint(), found.layer.joint()) < 0.1
    renamed = hard_margin_svm(x, torch.tensor(classes)[y], bias, num_classes=4)
    assert angle_degrees(renamed.layer.joint()[list(classes)], found.layer.joint()) < 0.1
    if bias != "penalised":
        scaled = hard_margin_svm(x * factor, y, bias, num_classes=4)
        assert angle_degrees(scaled.layer.weights, found.layer.weights) < 0.1
        assert scaled.margin == pytest.approx(factor * found.margin, rel=1e-4)


@biases
@pytest.mark.parametrize("solver", [None, "liblinear", "interior"])
def test_what_cannot_be_separated_is_never_called_converged(bias, solver):
    x, y = synthetic(200, 5, 3, 3.0, r=3)
    x[1], y[0], y[1] = x[0], 0, 1
    found = hard_margin_svm(x, y, bias, solver=solver)
    assert not found.separable
    assert not found.converged
    assert math.isnan(found.margin)
    assert found.upper < 1e-3 * float(x.norm(dim=1).max())


@solvers
def test_a_feature_without_variance_changes_nothing(solver):
    x, y = synthetic(200, 12, 3, 1.5, r=4)
    found = hard_margin_svm(x, y, solver=solver)
    dead = hard_margin_svm(torch.cat([x, torch.zeros(200, 1)], 1), y, solver=solver)
    assert torch.allclose(
        dead.layer.weights[:, :-1], found.layer.weights, atol=2e-3 * float(found.layer.weights.norm())
    )
    assert float(dead.layer.weights[:, -1].abs().max()) == 0


@biases
@solvers
def test_features_of_size_ten_thousand(bias, solver):
    x, y = synthetic(200, 12, 3, 1.5, r=4)
    found = hard_margin_svm(1e4 * x, y, bias, solver=solver)
    assert found.converged
    small = hard_margin_svm(x, y, bias)
    if bias != "penalised":
        assert found.margin == pytest.approx(1e4 * small.margin, rel=1e-5)


@biases
@pytest.mark.parametrize("solver", ["liblinear", "interior"])
def test_a_class_without_samples_is_pushed_away_by_all_others(bias, solver):
    x, y = separable(100, 6, 3)
    found = hard_margin_svm(x, torch.tensor([0, 1, 3])[y], bias, num_classes=4, solver=solver)
    assert found.converged
    assert bool((found.layer.logits(x).argmax(1) != 2).all())
    weights, _ = by_cvxpy(x, torch.tensor([0, 1, 3])[y], 4, bias)
    assert angle_degrees(found.layer.weights, weights) < 0.1


def test_one_device_and_one_precision_come_back():
    found = hard_margin_svm(POINTS.float(), CLASSES.int(), "none")
    assert found.layer.weights.dtype == torch.float64
    assert angle_degrees(found.layer.weights, EXACT) < 1e-4


@pytest.mark.parametrize(
    ("features", "labels", "options", "message"),
    [
        (POINTS, torch.zeros(3), {}, "one label"),
        (POINTS, torch.zeros(2), {}, "features"),
        (POINTS * torch.nan, CLASSES, {}, "not finite"),
        (POINTS.double() * 1e160, CLASSES, {}, "the largest feature is .*e.160; it must be from 1e-140 to 1e.140"),
        (POINTS.double() * 1e-160, CLASSES, {}, "the largest feature is"),
        (POINTS, CLASSES + 0.5, {}, "whole numbers"),
        (POINTS.numpy(), CLASSES, {}, "must be torch.Tensor"),
        (POINTS, CLASSES - 1, {}, "labels from -1"),
        (POINTS, CLASSES, {"num_classes": 2}, "2 classes"),
        (POINTS[:0], CLASSES[:0], {}, "no features"),
        (POINTS, CLASSES, {"bias": "penalized"}, "one of penalised, none, free, not 'penalized'"),
        (POINTS, CLASSES, {"solver": "lib"}, "one of interior, liblinear, accelerated, not 'lib'"),
    ],
)
def test_bad_input_is_one_clear_line(features, labels, options, message):
    with pytest.raises(ValueError, match=message):
        hard_margin_svm(features, labels, **options)


def test_the_papers_binary_comparator_has_a_free_bias():
    x, y = separable(300, 2, 2)
    x = 50 * x
    paper, hard = paper_comparator(x, y), hard_margin_svm(x, y, "free")
    assert paper.variant == "SVC"
    # on features of this size C = 1 is hard in effect, to libsvm's tolerance
    assert angle_degrees(paper.layer.weights, hard.layer.weights) < 1
    assert set(hard.support_vectors.tolist()) <= set(paper.support_vectors.tolist())


def test_the_soft_margin_is_cvxpys_where_no_layer_separates():
    cvxpy = pytest.importorskip("cvxpy")
    x, y = synthetic(90, 4, 3, 1.0, r=3)
    x[1], y[0], y[1] = x[0], 0, 1
    found = soft_margin_svm(x, y, C=2.0)
    assert (found.variant, found.C, found.separable, found.converged) == ("soft S1", 2.0, False, False)
    assert found.margin < 0
    # C is of features over their rms norm; the bias feature stays 1 in the units of the features themselves
    rms = float(x.square().sum(1).mean().sqrt())
    joint = torch.cat([x / rms, torch.full((90, 1), 1 / rms)], 1).numpy()
    w, slack = cvxpy.Variable((3, 5)), cvxpy.Variable((90, 1))
    logits = joint @ w.T
    own = cvxpy.reshape(cvxpy.sum(cvxpy.multiply(logits, np.eye(3)[y]), axis=1), (90, 1), order="C")
    # pairs with the own class read 0 >= 1 - 1 - slack
    limits = [own - logits >= 1 - np.eye(3)[y] - slack]
    cvxpy.Problem(cvxpy.Minimize(cvxpy.sum_squares(w) / 2 + 2 * cvxpy.sum(slack)), limits).solve(solver="CLARABEL")
    expected = torch.from_numpy(w.value)
    assert angle_degrees(torch.cat([found.layer.weights * rms, found.layer.biases[:, None] * rms], 1), expected) < 0.1


def test_the_soft_margin_becomes_the_hard_one_and_needs_samples_of_every_class():
    x, y = separable(100, 6, 3)
    assert angle_degrees(soft_margin_svm(x, y, C=1e4).layer.joint(), hard_margin_svm(x, y).layer.joint()) < 0.1
    missing = soft_margin_svm(x, torch.tensor([0, 1, 3])[y], num_classes=4)
    assert not bool(missing.layer.joint().any())
    assert not missing.separable


def test_comparators_take_a_missing_class():
    x, y = separable(100, 6, 2)
    found = paper_comparator(x, 2 * y, num_classes=3)
    assert found.variant == "OvR"
    assert bool((found.layer.predict(x) == 2 * y).all())
    assert not hard_one_vs_rest(x, 2 * y, num_classes=3).separable


def crammer_singer(problem):
    """Weights of liblinear alone: C grows tenfold until every margin reaches 1 - 1e-3, the hard margin's solution."""
    tried = (fitted(problem.x, problem.labels, C, 1e-4, PASSES)[0] for C in (1e2, 1e3, 1e4, 1e5, 1e6))
    return next(weights for weights in tried if float(problem.margins(weights).min()) >= 1 - 1e-3)


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("separation", "support", "pairs"), [(0.8, 916, 1050), (0.35, 1889, 2100), (0.15, 3563, 4081)])
def test_ten_classes_of_512_features(separation, support, pairs):
    x, y = synthetic(60000, 512, 10, separation)
    found = hard_margin_svm(x, y)
    assert found.converged
    assert found.seconds < 120
    problem = problem_of(x, y, 10, "penalised")
    layer = problem.layer(crammer_singer(problem))
    assert float(pair_margins(layer.logits(x), y).min()) >= 0.999
    assert angle_degrees(layer.centred().joint(), found.layer.joint()) <= 0.1
    assert len(found.support_vectors) == pytest.approx(support, rel=0.01)
    assert len(found.pairs) == pytest.approx(pairs, rel=0.01)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_flipped_labels_are_not_separable():
    x, y = synthetic(20000, 128, 10, 0.8)
    y[::50] = (y[::50] + 1) % 10
    found = hard_margin_svm(x, y)
    assert not found.separable
    assert not found.converged


@pytest.mark.parametrize(("n", "d"), [(3000, 40), (2000, 8)], ids=["many features", "few weights"])
def test_random_labels_cost_no_more_than_the_work_allowed_and_a_round(n, d):
    x, y = synthetic(n, d, 10, 0.1)
    begun = time.process_time()
    found, again = (hard_margin_svm(x, y, max_work=2) for _ in range(2))
    assert time.process_time() - begun < 30
    assert (found.separable, found.upper >= 0) == (False, True)
    assert found.status in ("not separable", "unresolved")
    assert (found.work, found.upper, found.status) == (again.work, again.upper, again.status)


@pytest.mark.parametrize("solver", SOLVERS)
def test_little_work_ends_the_same_way_every_time_and_says_so(solver):
    x, y = separable(400, 40, 8)
    cut, again, whole = (hard_margin_svm(x, y, solver=solver, max_work=w) for w in (0.01, 0.01, math.inf))
    assert cut.work < whole.work
    assert cut.status == "unresolved"
    assert torch.equal(cut.layer.joint(), again.layer.joint())
    assert (cut.work, cut.upper, cut.margin) == pytest.approx(
        (again.work, again.upper, again.margin), rel=0, nan_ok=True
    )


def test_work_that_suffices_changes_nothing():
    x, y = separable(200, 6, 3)
    allowed, free = hard_margin_svm(x, y, max_work=1000), hard_margin_svm(x, y)
    assert torch.equal(allowed.layer.joint(), free.layer.joint())


def test_rounds_of_margins_never_pass_the_bound():
    x, y = synthetic(1000, 40, 5, 0.8, r=8)
    found = [hard_margin_svm(x, y, gap=gap, solver="liblinear") for gap in (1e-1, 1e-3, 1e-6)]
    assert all(a.margin <= b.margin * (1 + 1e-9) <= b.upper * (1 + 2e-9) for a, b in pairwise(found))
    assert [solution.gap <= gap for solution, gap in zip(found, (1e-1, 1e-3, 1e-6), strict=True)] == [True] * 3
