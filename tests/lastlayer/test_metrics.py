"""Metrics of a last layer against its SVMs: gauge, closed forms at the solution, bias positions."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bdry.core.seeds import generator
from bdry.lastlayer import (
    LastLayer,
    Views,
    bias_position,
    bias_rows,
    convergence_rows,
    fresh_last_layer,
    grid_points,
    hard_margin_svm,
    hard_one_vs_rest,
    last_layer,
    paper_comparator,
    rescaled,
)

DRAW = torch.Generator().manual_seed(0)
LABELS = torch.arange(90) % 3
FEATURES = torch.randn(90, 4, generator=DRAW, dtype=torch.float64) + 4 * torch.eye(3, 4, dtype=torch.float64)[LABELS]
VIEWS = Views(FEATURES, LABELS, FEATURES[::2], LABELS[::2], grid_points(FEATURES, LABELS, generator(0, "grid"), 500))
SOLUTIONS = [hard_margin_svm(FEATURES, LABELS, bias) for bias in ("penalised", "none", "free")]
COMPARATORS = [paper_comparator(FEATURES, LABELS), hard_one_vs_rest(FEATURES, LABELS)]

# the columns of svm_convergence that are not a run's own (specification §5), and two of ours
COLUMNS = {
    "train_loss_mean",
    "n_times_loss",
    "train_acc",
    "test_acc",
    "w_norm_centred",
    "bias_norm",
    "gauge_norm",
    "variant",
    "solver",
    "C",
    "tol",
    "separable",
    "svm_min_margin",
    "svm_gap",
    "svm_work",
    "status",
    "svm_to_s1_full_deg",
    "svm_to_s1_w_deg",
    "n_sv",
    "n_sv_pairs",
    "angle_full_deg",
    "angle_w_deg",
    "pair_angle_median_deg",
    "pair_angle_max_deg",
    "margin_nn",
    "margin_svm",
    "margin_ratio",
    "cos_ge_ratio",
    "grad_alignment",
    "kkt_residual",
    "agree_train",
    "agree_test",
    "agree_grid",
    "jaccard_margin",
    "jaccard_loss",
    "jaccard_pairs",
    "feature_rms",
    "nc1_within_between",
    "log_n_times_loss",
    "smoothed_margin",
}


def layer(seed: int, scale: float = 1.0) -> LastLayer:
    draw = torch.Generator().manual_seed(seed)
    noise = torch.randn(3, 4, generator=draw, dtype=torch.float64)
    return last_layer(torch.eye(3, 4) + scale * noise, scale * torch.randn(3, generator=draw))


def test_rows_have_the_columns_of_the_table():
    rows = convergence_rows(layer(0), SOLUTIONS + COMPARATORS, VIEWS)
    assert all(set(row) == COLUMNS for row in rows)
    assert [row["variant"] for row in rows] == ["S1", "S2", "S3", "OvR", "hard OvR"]


@settings(deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 1), st.lists(st.floats(-5, 5), min_size=5, max_size=5))
def test_adding_one_vector_to_every_row_changes_no_metric(seed, scale, vector):
    net = layer(seed, scale)
    moved = LastLayer(net.weights + torch.tensor(vector[:4]).double(), net.biases + vector[4])
    for before, after in zip(
        convergence_rows(net, SOLUTIONS, VIEWS), convergence_rows(moved, SOLUTIONS, VIEWS), strict=True
    ):
        for key in COLUMNS - {"gauge_norm", "variant", "solver", "status"}:
            # angles are rounded where they are nearly straight; the KKT residual's set of pairs may hang on a rounding
            assert after[key] == pytest.approx(before[key], abs=1e-9, rel=1e-9, nan_ok=True), key


def test_rows_say_how_far_each_svm_is_from_the_limit():
    rows = convergence_rows(layer(0), SOLUTIONS + COMPARATORS, VIEWS)
    s1 = SOLUTIONS[0].layer.joint()
    assert rows[0]["svm_to_s1_full_deg"] == 0
    for row, solution in zip(rows, SOLUTIONS + COMPARATORS, strict=True):
        theirs = solution.layer.joint()
        cosine = float((s1 * theirs).sum() / s1.norm() / theirs.norm())
        assert math.cos(math.radians(row["svm_to_s1_full_deg"])) == pytest.approx(cosine, abs=1e-9)
    assert min(row["svm_to_s1_full_deg"] for row in rows[3:]) > 0.1
    # without S1 there is nothing to be far from
    assert math.isnan(convergence_rows(layer(0), COMPARATORS, VIEWS)[0]["svm_to_s1_w_deg"])


@settings(deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 3))
def test_the_cosine_is_never_below_the_margin_ratio(seed, scale):
    for row in convergence_rows(layer(seed, scale), SOLUTIONS, VIEWS):
        angle = row["angle_w_deg"] if row["variant"] == "S3" else row["angle_full_deg"]
        assert row["cos_ge_ratio"]
        assert math.cos(math.radians(angle)) >= row["margin_ratio"] - 2e-6


def test_a_solution_that_breaks_the_inequality_is_refused():
    from dataclasses import replace

    wrong = replace(SOLUTIONS[0], margin=SOLUTIONS[0].margin / 3)
    with pytest.raises(AssertionError, match="S1"):
        convergence_rows(SOLUTIONS[1].layer, [wrong], VIEWS)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_at_the_solution_every_metric_says_so(number):
    solution = SOLUTIONS[number]
    net = LastLayer(200 * solution.layer.weights + 0.3, 200 * solution.layer.biases)
    (row,) = convergence_rows(net, [solution], VIEWS)
    assert row["angle_full_deg"] < 1e-5
    assert row["pair_angle_max_deg"] < 1e-5
    assert row["margin_ratio"] == pytest.approx(1, abs=1e-9)
    assert row["kkt_residual"] < 1e-4
    assert [row[key] for key in ("agree_train", "agree_test", "agree_grid")] == [1, 1, 1]
    assert [row[key] for key in ("jaccard_margin", "jaccard_pairs")] == [1, 1]
    assert row["log_n_times_loss"] < -150
    assert row["smoothed_margin"] == pytest.approx(row["margin_nn"], rel=0.05) or number == 2


def test_gradient_alignment_is_one_where_each_pair_has_its_multiplier():
    # orthonormal features: by symmetry the gradient at c (e_k - 1/K) is along the solution for every c
    x, y = torch.eye(4, dtype=torch.float64), torch.arange(4)
    solution = hard_margin_svm(x, y, "none")
    (row,) = convergence_rows(last_layer(3 * x), [solution], Views(x, y))
    assert row["grad_alignment"] == pytest.approx(1, abs=1e-9)
    assert row["kkt_residual"] < 1e-6
    assert math.isnan(row["agree_test"])


def test_losses_and_norms_are_those_of_torch():
    net = layer(4)
    (row,) = convergence_rows(net, SOLUTIONS[:1], VIEWS)
    logits = FEATURES @ net.weights.T + net.biases
    assert row["train_loss_mean"] == pytest.approx(float(torch.nn.functional.cross_entropy(logits, LABELS)), rel=1e-9)
    assert row["n_times_loss"] == pytest.approx(90 * row["train_loss_mean"])
    assert row["train_acc"] == pytest.approx(float((logits.argmax(1) == LABELS).double().mean()))
    joint = net.joint()
    assert row["w_norm_centred"] ** 2 + 3 * row["gauge_norm"] ** 2 == pytest.approx(float(joint.square().sum()))


def test_what_is_not_separable_has_no_comparison():
    x, y = FEATURES.clone(), LABELS.clone()
    x[1] = x[0]
    solution = hard_margin_svm(x, y)
    (row,) = convergence_rows(layer(0), [solution], Views(x, y))
    assert not row["separable"]
    assert not row["cos_ge_ratio"]
    assert all(math.isnan(row[key]) for key in ("angle_full_deg", "margin_ratio", "agree_train", "jaccard_margin"))


def test_dead_features_and_a_dead_layer_are_rows_of_numbers_or_nan():
    x = torch.cat([FEATURES, torch.zeros(90, 1)], 1)
    solution = hard_margin_svm(x, LABELS)
    (row,) = convergence_rows(last_layer(torch.zeros(3, 5)), [solution], Views(x, LABELS))
    assert math.isnan(row["angle_full_deg"])
    assert row["train_loss_mean"] == pytest.approx(math.log(3))
    collapsed = torch.eye(3, dtype=torch.float64)[LABELS]
    (row,) = convergence_rows(last_layer(torch.eye(3)), [hard_margin_svm(collapsed, LABELS)], Views(collapsed, LABELS))
    assert row["nc1_within_between"] == 0


def test_the_midpoint_of_two_classes():
    x = torch.tensor([[0.0, 0.0], [-1.0, 2.0], [4.0, 1.0], [7.0, 0.0]], dtype=torch.float64)
    y = torch.tensor([0, 0, 1, 1])
    s1, s3 = hard_margin_svm(x, y), hard_margin_svm(x, y, "free")
    assert bias_position(s3.layer, x, y, 0, 1)[0] == pytest.approx(0.5, abs=1e-9)
    # the boundary through (1, .) is a quarter of the way from class 0 at 0 to class 1 at 4, seen from class 1
    quarter = last_layer(torch.tensor([[-1.0, 0.0], [1.0, 0.0]]), torch.tensor([1.0, -1.0]))
    beta, offset = bias_position(quarter, x, y, 1, 0)
    assert (beta, offset) == (0.25, 1.0)
    (row,) = bias_rows(quarter, s1, s3, x, y)
    assert set(row) == set(
        ["class_i", "class_j", "beta_nn", "beta_s1", "beta_s3", "offset_nn", "offset_s3", "bias_diff"]
    ) | {"status_s1", "status_s3"}
    assert (row["status_s1"], row["status_s3"]) == ("solved", "solved")
    assert row["beta_nn"] == 0.75
    assert row["beta_s3"] == pytest.approx(0.5, abs=1e-9)


def test_rescaled_features_give_the_same_logits():
    net = layer(1)
    features, scaled = rescaled(7 * FEATURES, net)
    assert float(features.square().sum(1).mean()) == pytest.approx(1)
    assert torch.allclose(scaled.logits(features), net.logits(7 * FEATURES))


def test_a_fresh_layer_is_the_authors():
    net = fresh_last_layer(100, 200, generator(0, "fresh"))
    assert float(net.weights.abs().max()) <= 0.1
    assert float(net.weights.std()) == pytest.approx(0.05 * 0.88, rel=0.02)
    assert bool((net.biases == 0.01).all())


@pytest.mark.parametrize("d", [2, 3, 7])
def test_the_grid_covers_the_features(d):
    x = FEATURES.repeat(1, 2)[:, :d]
    points = grid_points(x, LABELS, generator(0, "grid"), 4000)
    assert points.shape == (4000, d)
    if d == 2:
        extent = x.amax(0) - x.amin(0)
        assert torch.allclose(points.amax(0) - points.amin(0), 1.1 * extent, rtol=0.01)
    assert torch.equal(points, grid_points(x, LABELS, generator(0, "grid"), 4000))


@pytest.mark.parametrize("weights", [torch.zeros(3), torch.full((3, 4), torch.nan)])
def test_a_bad_layer_is_one_clear_line(weights):
    with pytest.raises(ValueError, match="last layer"):
        last_layer(weights, torch.zeros(3))
