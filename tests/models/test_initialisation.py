"""Initialisation schemes: variances in closed form, orthonormal rows, zero biases, a function of the seed alone."""

from __future__ import annotations

import inspect
import math

import pytest
import torch
from torch import nn

from bdry.errors import UsageError
from bdry.models import ARCHITECTURES, build_classifier
from bdry.models.classifier import SCHEMES
from bdry.settings.arch import INITS


def build(name="plaincnn", init="default", seed=0):
    given = {"activation": "relu", "widths": [200, 100], "stem": 24, "norm": "none"}
    taken = inspect.signature(ARCHITECTURES[name]).parameters
    options = {key: value for key, value in given.items() if key in taken}
    return build_classifier(name, (3, 32, 32), 10, mean=[0.4] * 3, std=[0.2] * 3, seed=seed, init=init, options=options)


def layers(model):
    return [layer for layer in model.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]


def fans(weight):
    field = weight[0, 0].numel()
    return weight.shape[1] * field, weight.shape[0] * field


def test_the_schemas_choices_are_the_schemes():
    assert ("default", *SCHEMES) == INITS


@pytest.mark.parametrize("name", ["plaincnn", "mlp", "lenet", "resnet18"])
@pytest.mark.parametrize("scheme", ["kaiming", "xavier"])
def test_variances_are_those_of_the_papers(name, scheme):
    for layer in layers(build(name, scheme)):
        weight = layer.weight.detach().double()
        fan_in, fan_out = fans(weight)
        variance = 2 / fan_in if scheme == "kaiming" else 2 / (fan_in + fan_out)
        # the variance of a sample variance: (kurtosis - 1) / n, with 3 for the normal and 9/5 for the uniform
        error = 5 * math.sqrt((2.0 if scheme == "kaiming" else 0.8) / weight.numel())
        assert float((weight**2).mean()) == pytest.approx(variance, rel=error)
        assert abs(float(weight.mean())) < 5 * math.sqrt(variance / weight.numel())
        if scheme == "xavier":
            assert float(weight.abs().max()) <= math.sqrt(3 * variance) * 1.0001
        elif weight.numel() > 1000:
            assert float(weight.abs().max()) > math.sqrt(3 * variance)


@pytest.mark.parametrize("name", ["plaincnn", "mlp", "resnet18"])
def test_orthogonal_weights_have_orthonormal_rows_or_columns(name):
    for layer in layers(build(name, "orthogonal")):
        matrix = layer.weight.detach().double().flatten(1)
        gram = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
        torch.testing.assert_close(gram, torch.eye(len(gram), dtype=torch.float64), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", list(ARCHITECTURES))
@pytest.mark.parametrize("scheme", list(SCHEMES))
def test_every_convolution_and_linear_layer_is_drawn_anew_and_the_rest_stays(name, scheme):
    default, model = build(name), build(name, scheme)
    drawn = layers(model)
    assert model.head in drawn
    for before, layer in zip(layers(default), drawn, strict=True):
        assert not torch.equal(before.weight, layer.weight)
        assert layer.bias is None or not bool(layer.bias.any())
    for before, module in zip(default.modules(), model.modules(), strict=True):
        if isinstance(module, nn.BatchNorm2d):
            assert torch.equal(before.weight, module.weight)
            assert torch.equal(before.bias, module.bias)


@pytest.mark.parametrize("scheme", INITS)
def test_weights_are_a_function_of_the_seed(scheme):
    first, again, other = build("mlp", scheme, 3), build("mlp", scheme, 3), build("mlp", scheme, 4)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert all(not torch.equal(a.weight, b.weight) for a, b in zip(layers(first), layers(other), strict=True))


def test_an_unknown_scheme_is_named_with_the_nearest():
    with pytest.raises(UsageError, match=r"arch\.init=xaver: no such initialisation.*xavier"):
        build("mlp", "xaver")
