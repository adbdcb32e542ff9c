"""Certified balls hold no other label, are tight where that is possible, and refuse what they cannot bound."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bdry.attacks.pgd import pgd
from bdry.core.norms import dual_norm, random_in_ball
from bdry.core.norms import norm as norm_of
from bdry.margins.bounds import Ball, lower_bounds
from bdry.margins.bracket import bracket
from bdry.margins.certified import certified
from bdry.margins.deepfool import deepfool
from bdry.margins.network import UnboundedLayerError, run, trace
from bdry.models import build_classifier
from bdry.names import BOUND_METHODS

NETS = ["mlp", "lenet", "cnn", "plaincnn"]
SETTINGS = [("l2", False), ("l2", True), ("linf", False), ("linf", True)]
# the largest network in half of the settings here and in all of them in make test-all
EVERY = [
    pytest.param(
        name, norm, clipped, marks=[pytest.mark.long] if name == "plaincnn" and clipped == (norm == "l2") else []
    )
    for name in NETS
    for norm, clipped in SETTINGS
]
# lenet's two 5x5 convolutions need 16 pixels; 11 leave a row that no pooling window covers
SIZES = {"mlp": 6, "lenet": 16, "cnn": 11, "plaincnn": 4}


def network(name: str, seed: int = 0, sharpness: float = 1.0) -> nn.Module:
    options = {"activation": "relu"} | ({"widths": [24, 16, 12]} if name == "mlp" else {})
    size = SIZES[name]
    model = build_classifier(name, (2, size, size), 4, mean=[0.4, 0.6], std=[0.2, 0.3], seed=seed, options=options)
    with torch.no_grad():
        for parameter in model.parameters():
            # at torch's initialisation deep networks are nearly constant: no boundary within reach
            parameter.mul_(1.7 * sharpness if parameter.ndim > 1 else 1.0)
    return model.eval().requires_grad_(False)


def images(n: int, name: str, seed: int = 0) -> torch.Tensor:
    size = SIZES[name]
    noise = torch.randn(n, 2, size, size, generator=torch.Generator().manual_seed(seed))
    return (0.5 + 0.4 * noise).clamp(0, 1)


def affine(num_features: int, num_classes: int, seed: int) -> nn.Module:
    draw = torch.Generator().manual_seed(seed)
    layer = nn.Linear(num_features, num_classes, device="meta").to_empty(device="cpu")
    layer.weight.data = torch.randn(num_classes, num_features, generator=draw)
    layer.bias.data = 0.1 * torch.randn(num_classes, generator=draw)
    return nn.Sequential(nn.Flatten(), layer).requires_grad_(False)


def closed_form(model: nn.Module, x: torch.Tensor, start: torch.Tensor, norm: str) -> torch.Tensor:
    """|f_p - f_k| / ||w_p - w_k||_* for all k, inf for k = p; (N, K)."""
    logits, weight = model(x).double(), model[1].weight.double()
    difference = logits.gather(1, start[:, None]) - logits
    length = torch.stack([dual_norm(weight[s] - weight, norm) for s in start])
    return torch.where(length > 0, difference / length.clamp_min(1e-12), torch.inf)


@pytest.mark.parametrize(("name", "norm", "clipped"), EVERY)
@pytest.mark.parametrize("method", BOUND_METHODS)
def test_no_other_label_inside_the_certified_ball(name, norm, clipped, method):
    model, x = network(name), images(2, name)
    result = certified(model, x, norm=norm, clipped=clipped, method=method, search_steps=5)
    assert bool((result.lower > 0).all())
    draw = torch.Generator().manual_seed(1)
    for image, start, radius in zip(x, result.start_class, result.lower.tolist(), strict=True):
        inside = random_in_ball(torch.Size((10_000, *image.shape)), norm, radius, draw)
        # half of them on the ball's surface, a quarter at corners of the linf ball
        inside[::2] *= (radius / norm_of(inside[::2], norm))[:, None, None, None]
        if norm == "linf":
            inside[::4] = radius * inside[::4].sign()
        points = image + inside
        assert bool((model(points.clamp(0, 1) if clipped else points).argmax(1) == start).all())
        attack = {"norm": norm, "eps": radius, "step_size": radius / 5, "steps": 30, "generator": draw}
        many = image.expand(20, -1, -1, -1)
        assert not bool(pgd(model, many, start.expand(20), **attack).success.any())


@pytest.mark.parametrize(("name", "norm", "clipped"), EVERY)
@pytest.mark.parametrize("method", BOUND_METHODS)
def test_bounds_are_below_the_logits_at_large_radii(name, norm, clipped, method):
    # radii at which most ReLUs and pooling windows are open: a wrong line would show here, not in a small ball
    model, n = network(name), 4
    x, draw = images(n, name), torch.Generator().manual_seed(2)
    size = x[0].numel() ** 0.5 if norm == "l2" else 1.0
    # both signs of each logit, and a mixture
    rows = torch.cat([torch.eye(4), -torch.eye(4), torch.randn(3, 4, generator=draw)]).double().expand(n, -1, -1)
    nodes = trace(model, x.shape[1:])
    for share in (0.02, 0.1, 0.4):
        radius = torch.full((n,), share * size, dtype=torch.float64)
        ball = Ball(x.double(), radius, norm, clipped)
        below, _ = lower_bounds(nodes, ball, rows, method)
        for _ in range(50):
            inside = random_in_ball(x.shape, norm, share * size, draw)
            points = (x + inside).double()
            values = run(nodes, points.clamp(0, 1) if clipped else points)
            assert bool(((rows * values[:, None]).sum(2) >= below - 1e-9).all())


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("method", BOUND_METHODS)
def test_tight_on_affine_classifiers(norm, method):
    model = affine(50, 10, 0)
    x = torch.rand(64, 2, 5, 5, generator=torch.Generator().manual_seed(1))
    result = certified(model, x, norm=norm, method=method)
    exact = closed_form(model, x, result.start_class, norm).amin(1)
    torch.testing.assert_close(result.lower.double(), exact, rtol=1e-3, atol=0)
    assert bool((result.lower < exact).all())
    assert not bool(result.success.any())
    assert bool(result.margin.isnan().all())


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_towards_a_class_on_affine_classifiers(norm):
    model = affine(50, 4, 2)
    x = torch.rand(40, 2, 5, 5, generator=torch.Generator().manual_seed(3))
    start = model(x).argmax(1)
    target = (start + 1) % 4
    distance = closed_form(model, x, start, norm).gather(1, target[:, None])[:, 0]
    result = certified(model, x, norm=norm, towards=target)
    torch.testing.assert_close(result.lower.double(), distance, rtol=1e-3, atol=0)
    assert bool((certified(model, x, norm=norm, towards=start).lower == 0).all())
    assert bool((certified(model, x, target, norm=norm).lower == 0).all())


def test_the_box_counts_exactly_on_an_affine_classifier():
    # from (0.5, 0) the boundary a - b = 0.9 lies at (0.9, 0) in the box, at (0.7, -0.2) outside it
    model = affine(2, 2, 0)
    model[1].weight.data = torch.tensor([[0.0, 0.0], [1.0, -1.0]])
    model[1].bias.data = torch.tensor([0.0, -0.9])
    x = torch.tensor([0.5, 0.0]).reshape(1, 1, 1, 2)
    for norm, clipped, exact in (
        ("l2", True, 0.4),
        ("linf", True, 0.4),
        ("l2", False, 0.08**0.5),
        ("linf", False, 0.2),
    ):
        lower = certified(model, x, norm=norm, clipped=clipped).lower
        assert float(lower) == pytest.approx(exact, rel=1e-3)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_a_box_without_a_boundary_is_certified_whole(norm):
    model = affine(8, 2, 0)
    model[1].bias.data = torch.tensor([100.0, 0.0])
    lower = certified(model, torch.full((1, 2, 2, 2), 0.25), norm=norm, clipped=True).lower
    assert float(lower) == pytest.approx(8**0.5 if norm == "l2" else 1.0, rel=1e-6)


@pytest.mark.parametrize(("name", "norm", "clipped"), EVERY)
def test_never_above_deepfool_and_tighter_by_method(name, norm, clipped):
    model, x = network(name, seed=1), images(4, name, seed=1)
    results = {m: bracket(model, x, norm=norm, clipped=clipped, method=m, search_steps=4) for m in BOUND_METHODS}
    plain = deepfool(model, x, norm=norm, clipped=clipped)
    assert bool(plain.success.any())
    for result in results.values():
        torch.testing.assert_close(result.margin, plain.margin, equal_nan=True)
        assert bool((result.lower <= result.margin)[result.success].all())
        assert bool((result.forwards > plain.forwards).all())
    means = [float(results[m].lower.mean()) for m in BOUND_METHODS]
    assert 0 < means[0] <= means[1] <= means[2]
    assert means[1] > 1.1 * means[0]


@pytest.mark.parametrize("name", NETS)
def test_batched_equals_one_by_one(name):
    model, x = network(name), images(5, name)
    # crown on plaincnn takes seconds an image
    for method in BOUND_METHODS[: 2 if name == "plaincnn" else 3]:
        together = certified(model, x, norm="l2", method=method).lower
        alone = torch.cat([certified(model, one[None], norm="l2", method=method).lower for one in x])
        torch.testing.assert_close(together, alone, rtol=1e-3, atol=0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_an_image_that_is_not_finite_has_no_bound_alone(bad):
    model, x = network("cnn"), images(4, "cnn")
    clean = certified(model, x, norm="linf").lower
    x[2, 0, 3, 3] = bad
    lower = certified(model, x, norm="linf").lower
    assert bool(lower[2].isnan())
    torch.testing.assert_close(lower[[0, 1, 3]], clean[[0, 1, 3]], rtol=1e-3, atol=0)
    assert len(certified(model, x[:0], norm="linf").lower) == 0


@pytest.mark.parametrize(
    ("layers", "named"),
    [
        ([nn.Flatten(), nn.Sequential(nn.Identity(), nn.Softplus())], "Softplus"),
        ([nn.MaxPool2d(3, stride=2)], "MaxPool2d(kernel_size=3"),
        ([nn.Conv2d(2, 2, 3, padding="same")], "Conv2d(2, 2"),
        ([nn.AdaptiveAvgPool2d((None, 1))], "AdaptiveAvgPool2d(output_size=(None, 1))"),
    ],
)
def test_an_unknown_layer_is_named(layers, named):
    with pytest.raises(UnboundedLayerError) as raised:
        trace(nn.Sequential(*layers), torch.Size((2, 8, 8)))
    message = str(raised.value)
    assert message.startswith(f"no bounds for {named}")
    assert "\n" not in message


def test_other_modules_and_settings_give_one_line():
    x = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match="<lambda> is no"):
        certified(lambda z: z.flatten(1), x)
    with pytest.raises(ValueError, match=r"bracket.*has to find points"):
        bracket(affine(64, 3, 0), x, upper="bracket")
    with pytest.raises(ValueError, match=r"method='lp': not one of ibp, crown_ibp, crown, alpha_crown"):
        certified(affine(64, 3, 0), x, method="lp")


def test_double_precision_and_the_model_stay_as_they_are():
    model, x = network("mlp"), images(4, "mlp")
    single = certified(model, x).lower
    assert next(model.parameters()).dtype == torch.float32
    double = certified(model.double(), x.double()).lower
    assert double.dtype == torch.float64
    torch.testing.assert_close(single.double(), double, rtol=2e-3, atol=0)
