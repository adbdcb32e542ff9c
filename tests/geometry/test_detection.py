"""Detection where the sign of the curvature is known: balls and planes. (Specification of 1705.09552, 9.5.)"""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.func import hessian

from bdry.geometry.boundary.directions import random_directions
from bdry.geometry.boundary.points import nearest_refined
from bdry.geometry.detection.separation import summarise
from bdry.geometry.detection.statistics import boundary_curvature, logit_gap_scores, perturb, sample_curvature
from bdry.models import build_classifier

# torch's own forward-mode differentiation compiles with it when it is first used
SHAPE = (1, 2, 3)
RADIUS = 0.4


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Balls(nn.Module):
    """Class 0 outside of balls of radius 0.4, one around each centre along the first axis; class b in ball b."""

    def __init__(self, *centres: float) -> None:
        super().__init__()
        self.centres = torch.zeros(len(centres), 6, dtype=torch.float64)
        self.centres[:, 0] = torch.tensor(centres)

    def forward(self, x):
        squared = (x.flatten(1)[:, None] - self.centres).square().sum(2)
        return torch.cat([torch.zeros_like(squared[:, :1]), RADIUS**2 - squared], 1)

    def around(self, n: int, radius: float, seed: int = 0):
        """Points at this distance from the centres in turn, the centre and the nearest boundary point of each."""
        direction = random_directions(torch.zeros(n, *SHAPE, dtype=torch.float64), 1, draw(seed))[:, 0]
        centre = self.centres[torch.arange(n) % len(self.centres)].reshape(n, *SHAPE)
        return centre + radius * direction, centre + RADIUS * direction


class Flat(nn.Module):
    """A flat boundary between bent logits: f_1 - f_0 = 5 tanh of an affine function."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.randn(6, generator=draw(9), dtype=torch.float64)

    def forward(self, x):
        f = 5 * (3 * (x.flatten(1) - 0.5) @ self.weight).tanh()
        return torch.stack([-f, f], 1)


def network(activation: str = "softplus", num_classes: int = 4, dtype: torch.dtype = torch.float64) -> nn.Module:
    options = {"widths": [16, 12], "activation": activation}
    model = build_classifier("mlp", SHAPE, num_classes, mean=[0.5], std=[0.25], seed=3, options=options)
    return model.to(dtype).eval().requires_grad_(False)


def linear(num_classes: int) -> nn.Module:
    model = build_classifier("linear", SHAPE, num_classes, mean=[0.5], std=[0.25], seed=0)
    return model.double().eval().requires_grad_(False)


def images(n: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, *SHAPE, generator=draw(seed), dtype=torch.float64)


@pytest.mark.parametrize("step", [None, 0.05])
def test_a_sphere_is_curved_towards_its_inside(step):
    model = Balls(0.0)
    for radius, sign in ((0.6, -1), (0.25, 1)):
        x, _ = model.around(8, radius)
        scores = sample_curvature(model, x, rng=draw(), directions=2000, step=step)
        # v^T P v is (d - 1) / d on average, d = 6
        expected = torch.full((8,), sign * 5 / 6 / radius, dtype=torch.float64)
        torch.testing.assert_close(scores.score, expected, rtol=0.03, atol=0)
        at_boundary = boundary_curvature(model, nearest_refined(model, x, draw()), rng=draw(), step=step)
        torch.testing.assert_close(at_boundary.score, torch.full_like(expected, sign / RADIUS), rtol=1e-6, atol=0)


@pytest.mark.parametrize("step", [None, 0.05])
@pytest.mark.parametrize("alpha", [1, 2, 5])
def test_two_balls_every_statistic_detects_and_recovers(step, alpha):
    model = Balls(-1.0, 1.0)
    x, point = model.around(60, 0.45)
    seen = perturb(x, point, alpha)
    assert bool((model(x).argmax(1) == 0).all() and (model(seen).argmax(1) == 1 + torch.arange(60) % 2).all())
    for natural, perturbed in (
        [sample_curvature(model, part, rng=draw(), step=step) for part in (x, seen)],
        [boundary_curvature(model, nearest_refined(model, part, draw()), rng=draw(), step=step) for part in (x, seen)],
    ):
        assert float(natural.score.max()) < 0 < float(perturbed.score.min())
        found = summarise(natural, perturbed, alpha=alpha, seed=0)
        assert (found.num_images, found.auc.value, found.recovery_rate.value) == (60, 1, 1)


def test_scores_equal_dense_hessians():
    model, x = network(), images(5)
    scores = sample_curvature(model, x, rng=draw(4), directions=7)
    v = random_directions(x, 7, draw(4)).flatten(2)
    identity = torch.eye(6, dtype=torch.float64)
    for n in range(5):
        k = int(scores.predicted[n])
        forms = {}
        for i in range(4):
            if i != k:

                def difference(z, i=i, k=k):
                    logits = model(z.reshape(1, *SHAPE))[0]
                    return logits[i] - logits[k]

                at = x[n].flatten()
                h, g = hessian(difference)(at), torch.func.grad(difference)(at)
                p = identity - torch.outer(g, g) / (g @ g)
                forms[i] = torch.stack([row @ p @ h @ p @ row / g.norm() for row in v[n]])
        by_direction = torch.stack(list(forms.values())).mean(0)
        torch.testing.assert_close(scores.score[n], by_direction.mean(), rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(scores.error[n], by_direction.std() / 7**0.5, rtol=1e-9, atol=1e-12)
        assert int(scores.recovered[n]) == max(forms, key=lambda i: float(forms[i].mean()))


def test_second_differences_approach_second_derivatives():
    model, x = network(), images(6)
    exact = sample_curvature(model, x, rng=draw(), directions=20)
    errors = [
        float((sample_curvature(model, x, rng=draw(), directions=20, step=h).score - exact.score).abs().max())
        for h in (0.02, 0.01)
    ]
    assert errors[1] == pytest.approx(errors[0] / 4, rel=0.05)


def test_the_standard_error_is_the_spread_over_draws():
    model, x = network(), images(4)
    runs = [sample_curvature(model, x, rng=draw(seed), directions=20) for seed in range(100)]
    spread = torch.stack([run.score for run in runs]).std(0)
    torch.testing.assert_close(torch.stack([run.error for run in runs]).mean(0), spread, rtol=0.25, atol=0)
    single = sample_curvature(model, x, rng=draw(), directions=1)
    assert bool(single.error.isnan().all() and single.score.isfinite().all())


@pytest.mark.parametrize("step", [None, 0.5])
@pytest.mark.parametrize("num_classes", [2, 3])
def test_a_linear_network_is_flat_and_says_so(step, num_classes):
    model, x = linear(num_classes), images(6)
    scores = sample_curvature(model, x, rng=draw(), step=step)
    assert bool((scores.score == 0).all() and scores.flat.all() and scores.success.all())
    assert bool((scores.recovered == -1).all())
    at_boundary = boundary_curvature(model, nearest_refined(model, x, draw()), rng=draw(), step=step)
    assert bool((at_boundary.score == 0).all() and at_boundary.flat.all())


def test_bent_logits_with_a_flat_boundary_score_nothing():
    scores = sample_curvature(Flat(), images(20), rng=draw())
    assert bool((scores.score == 0).all() and scores.flat.all())


def test_with_a_flat_boundary_detection_is_chance():
    model = Flat()
    x = images(200)
    points = nearest_refined(model, x, draw())
    seen = perturb(x, points.point, 1)
    for natural, perturbed in (
        [sample_curvature(model, part, rng=draw(seed)) for seed, part in enumerate((x, seen))],
        [
            boundary_curvature(model, nearest_refined(model, part, draw()), rng=draw(seed))
            for seed, part in enumerate((x, seen))
        ],
    ):
        found = summarise(natural, perturbed, alpha=1, seed=0)
        assert found.num_images > 150
        assert found.auc.low <= 0.5 <= found.auc.high
        assert found.logit_gap_auc.value > 0.9


def test_piecewise_linear_networks_are_refused_by_name_and_have_curvature_at_a_scale():
    model, x = network("relu"), images(20)
    points = nearest_refined(model, x, draw())
    with pytest.raises(ValueError, match="ReLU"):
        sample_curvature(model, x, rng=draw())
    with pytest.raises(ValueError, match="ReLU"):
        boundary_curvature(model, points, rng=draw())
    # a callable shows no layers; its second derivatives do
    with pytest.raises(ValueError, match="piecewise linear"):
        sample_curvature(model.forward, x, rng=draw())
    for scores in (
        sample_curvature(model, x, rng=draw(), step=0.5),
        boundary_curvature(model, points, rng=draw(), step=0.5),
    ):
        assert bool((scores.score[scores.success] != 0).any())
        assert not bool(scores.flat.all())


def test_two_classes_leave_one_label_to_recover():
    model, x = network(num_classes=2), images(10)
    scores = sample_curvature(model, x, rng=draw())
    assert torch.equal(scores.recovered, 1 - scores.predicted)
    assert torch.equal(logit_gap_scores(model, x).recovered, 1 - scores.predicted)


def test_bad_input_is_one_clear_line():
    x = images(2)
    with pytest.raises(ValueError, match="a boundary lies between two classes"):
        logit_gap_scores(lambda z: z.flatten(1)[:, :1], x)
    with pytest.raises(ValueError, match="directions=0: must be at least 1"):
        sample_curvature(network(), x, rng=draw(), directions=0)
    with pytest.raises(ValueError, match=r"step=0\.0: must be above 0"):
        sample_curvature(network(), x, rng=draw(), step=0.0)


def test_images_without_a_score_are_marked():
    model, x = network(), images(4)
    x[1] = torch.nan
    scores = sample_curvature(model, x, rng=draw())
    assert scores.success.tolist() == [True, False, True, True]
    assert bool(scores.score[1].isnan()) and int(scores.recovered[1]) == -1
    points = nearest_refined(model, images(4), draw())
    points.success[2] = False
    at_boundary = boundary_curvature(model, points, rng=draw())
    assert at_boundary.success.tolist() == [True, True, False, True]
    assert int(at_boundary.recovered[2]) == -1


@pytest.mark.parametrize("step", [None, 0.5])
def test_batches_do_not_matter_and_draws_follow_the_generator(step):
    model, x = network(), images(11)
    points = nearest_refined(model, x, draw())
    for statistic, of in ((sample_curvature, x), (boundary_curvature, points)):
        whole, parts, other = (
            statistic(model, of, rng=draw(seed), directions=5, step=step, batch_size=size).score
            for seed, size in ((0, 1024), (0, 3), (1, 1024))
        )
        torch.testing.assert_close(whole, parts, rtol=1e-9, atol=1e-9)
        assert not torch.allclose(whole, other)


class Counting(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.points = model, 0

    def forward(self, x):
        self.points += len(x)
        return self.model(x)


@pytest.mark.parametrize("step", [None, 0.5])
@pytest.mark.parametrize("candidates", [None, 2])
def test_forward_passes_are_counted(step, candidates):
    x = images(7)
    model = Counting(network())
    scores = sample_curvature(model, x, rng=draw(), directions=6, step=step, candidates=candidates)
    assert model.points == int(scores.forwards.sum())
    points = nearest_refined(network(), x, draw())
    model = Counting(network())
    scores = boundary_curvature(model, points, rng=draw(), directions=6, step=step)
    assert model.points == int(scores.forwards.sum())


def test_candidates_are_the_largest_other_logits():
    model, x = network(), images(9)
    scores = sample_curvature(model, x, rng=draw(), candidates=1)
    assert torch.equal(scores.recovered, scores.runner_up)
    assert torch.equal(scores.runner_up, model(x).topk(2).indices[:, 1])
    assert torch.equal(logit_gap_scores(model, x).score, -scores.logit_gap)


def test_float32_is_near_float64():
    x = images(6)
    double = sample_curvature(network(), x, rng=draw()).score
    single = sample_curvature(network(dtype=torch.float32), x.float(), rng=draw()).score
    torch.testing.assert_close(single.double(), double, rtol=1e-3, atol=1e-5)


def test_perturb_scales_the_perturbation_with_its_overshoot():
    x, point = images(3), images(3, seed=1)
    point[1] = torch.nan
    seen = perturb(x, point, 2)
    torch.testing.assert_close(seen[0] - x[0], 2.04 * (point[0] - x[0]))
    assert bool(seen[1].isnan().all())
