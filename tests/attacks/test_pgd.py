"""PGD: inside ball and box, the exact optimum on a linear model, restarts and stopping."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from bdry.attacks import pgd, robust_accuracy
from bdry.core.norms import norm as norm_of
from bdry.core.norms import steepest
from bdry.core.seeds import generator


def linear_model(num_features: int = 16, seed: int = 0) -> nn.Module:
    draw = torch.Generator().manual_seed(seed)
    layer = nn.Linear(num_features, 2, device="meta").to_empty(device="cpu")
    layer.weight.data, layer.bias.data = torch.randn(2, num_features, generator=draw), torch.zeros(2)
    return nn.Sequential(nn.Flatten(), layer).requires_grad_(False)


def middle_images(n: int = 20) -> torch.Tensor:
    return 0.45 + 0.1 * torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(1))


SETTINGS = {"linf": {"eps": 0.1, "step_size": 0.03, "steps": 10}, "l2": {"eps": 0.3, "step_size": 0.1, "steps": 40}}


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("random_start", [False, True])
@pytest.mark.parametrize("stop_at_success", [False, True])
def test_examples_stay_in_the_ball_and_the_box(norm, random_start, stop_at_success):
    model, x = linear_model(), torch.rand(20, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    labels = model(x).argmax(1)
    result = pgd(
        model,
        x,
        labels,
        norm=norm,
        generator=generator(0, "test"),
        random_start=random_start,
        stop_at_success=stop_at_success,
        restarts=2,
        **SETTINGS[norm],
    )
    assert float(result.images.min()) >= 0
    assert float(result.images.max()) <= 1
    assert bool((norm_of(result.images - x, norm) <= SETTINGS[norm]["eps"] * (1 + 1e-5)).all())
    assert torch.equal(result.success, model(result.images).argmax(1) != labels)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_a_linear_model_is_attacked_optimally(norm):
    """Away from the box, the loss is highest at x + eps d, d the steepest direction of the logit difference."""
    model, x = linear_model(), middle_images()
    labels = model(x).argmax(1)
    weight = model[1].weight
    gradient = (weight[1 - labels] - weight[labels]).reshape(x.shape)
    best = x + SETTINGS[norm]["eps"] * steepest(gradient, norm)
    result = pgd(model, x, labels, norm=norm, generator=generator(0, "test"), **SETTINGS[norm])
    rows = torch.arange(len(x))
    reached, optimum = (model(z)[rows, 1 - labels] - model(z)[rows, labels] for z in (result.images, best))
    torch.testing.assert_close(reached, optimum, rtol=1e-3, atol=1e-3)


def test_full_steps_cost_the_same_for_every_image_and_stopping_costs_less():
    model, x = linear_model(), middle_images()
    labels = model(x).argmax(1)
    labels[::2] = 1 - labels[::2]
    costs = {}
    for stop in (False, True):
        result = pgd(
            model, x, labels, norm="linf", generator=generator(0, "test"), stop_at_success=stop, **SETTINGS["linf"]
        )
        costs[stop] = result.backwards
    assert costs[False].tolist() == [10] * 20
    assert int(costs[True].sum()) < 200


def test_robust_accuracy_is_exact_on_a_linear_model():
    """An image is robust where its label is right and its linf margin exceeds eps."""
    model, x = linear_model(), middle_images(200)
    labels = model(x).argmax(1)
    labels[:30] = 1 - labels[:30]
    weight, logits = model[1].weight, model(x)
    margin = (logits[:, 0] - logits[:, 1]).abs() / (weight[0] - weight[1]).abs().sum()
    for eps in (0.0, 0.05, 0.1):
        exact = ((margin > eps) & (logits.argmax(1) == labels)).double().mean()
        measured = robust_accuracy(
            model,
            x,
            labels,
            norm="linf",
            eps=eps,
            steps=20,
            restarts=1,
            generator=generator(0, "test"),
            batch_size=64,
        )
        assert measured == pytest.approx(float(exact), abs=1e-9)


def test_restarts_never_make_it_weaker_and_draws_repeat():
    model, x = nn.Sequential(nn.Flatten(), nn.Unflatten(1, (16,)), Wavy()), middle_images(64)
    labels = model(x).argmax(1)
    settings = {"norm": "l2", "eps": 0.2, "step_size": 0.05, "steps": 3}
    once, again, thrice = (
        pgd(model, x, labels, generator=generator(0, "test"), restarts=restarts, **settings) for restarts in (1, 1, 3)
    )
    assert torch.equal(once.images, again.images)
    assert int(thrice.success.sum()) >= int(once.success.sum())


class Wavy(nn.Module):
    """A model with many local maxima of the loss."""

    def forward(self, x):
        value = torch.sin(40 * x).sum(1)
        return torch.stack([value, -value], 1)


def test_without_the_last_look_the_images_are_the_same_and_a_pass_is_saved():
    model, x = nn.Sequential(nn.Flatten(), nn.Unflatten(1, (16,)), Wavy()), middle_images(20)
    labels = model(x).argmax(1)
    settings = {"norm": "linf", "eps": 0.1, "step_size": 0.05, "steps": 3}
    whole, spared = (
        pgd(model, x, labels, generator=generator(0, "test"), last_look=look, **settings) for look in (True, False)
    )
    assert torch.equal(whole.images, spared.images)
    assert (set(whole.forwards.tolist()), set(spared.forwards.tolist())) == ({4}, {3})
    with pytest.raises(ValueError, match="last_look"):
        pgd(model, x, labels, generator=generator(0, "test"), last_look=False, restarts=2, **settings)


def test_a_second_start_where_no_image_is_left_asks_the_model_nothing():
    layer, x = linear_model(), middle_images()

    def model(z):
        assert len(z), "an empty batch"
        return layer(z)

    draw = generator(0, "test")
    settings = {"eps": 1.0, "step_size": 0.5, "steps": 10, "restarts": 2, "stop_at_success": True}
    result = pgd(model, x, layer(x).argmax(1), norm="linf", generator=draw, **settings)
    assert result.success.all()


def attacked(model, x, labels, norm="l2", **settings):
    return pgd(model, x, labels, norm=norm, generator=generator(0, "test"), **{**SETTINGS["l2"], **settings})


def test_float64_is_attacked_as_float32_is():
    model, x = linear_model(), middle_images()
    single = attacked(model, x, model(x).argmax(1))
    double = attacked(linear_model().double(), x.double(), model(x).argmax(1))
    assert double.images.dtype == torch.float64
    torch.testing.assert_close(double.images.float(), single.images, rtol=0, atol=1e-4)


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
def test_gradients_may_be_off_around_it_and_images_may_require_them(off):
    model, x = linear_model(), middle_images()
    expected = attacked(model, x, model(x).argmax(1)).images
    with off():
        found = attacked(model, x, model(x).argmax(1)).images
    assert torch.equal(found, expected)
    of_leaf = attacked(model, x.clone().requires_grad_(), model(x).argmax(1)).images
    assert not of_leaf.requires_grad and torch.equal(of_leaf, expected)


def test_what_it_cannot_take_is_named():
    model, x = linear_model(), middle_images()
    labels = model(x).argmax(1)
    with pytest.raises(ValueError, match="norm='l1': must be one of l2, linf"):
        attacked(model, x, labels, norm="l1")
    with pytest.raises(ValueError, match=r"labels are torch\.int32"):
        attacked(model, x, labels.int())
    with pytest.raises(ValueError, match=r"shape \(19,\)"):
        attacked(model, x, labels[:-1])


def test_robust_accuracy_of_odd_images():
    def robust(x, labels, steps=3):
        settings = {"norm": "l2", "eps": 1e-3, "restarts": 1, "batch_size": 8}
        return robust_accuracy(model, x, labels, steps=steps, generator=generator(0, "test"), **settings)

    model, x = linear_model(), middle_images()
    labels = model(x).argmax(1)
    assert math.isnan(robust(x[:0], labels[:0]))
    assert robust(x, labels, steps=0) == 1
    # the class that argmax gives for logits that are no numbers
    assert robust(torch.full_like(x, torch.nan), torch.zeros_like(labels)) == 0
