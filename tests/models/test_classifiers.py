"""Architectures: sizes of the published ones, the shape of a Classifier, seeds, images that are too small."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bdry.errors import UsageError
from bdry.models import ARCHITECTURES, build_classifier

OWN = {
    "mlp": {"widths": [256, 128]},
    "fcn": {"widths": [50, 50]},
    "airbench": {"stem": 24, "widths": [24, 64, 128], "norm": "batch"},
}


def build(name, shape=(3, 32, 32), seed=0, activation="relu", num_classes=10):
    options = {} if name == "linear" else {"activation": activation}
    options |= OWN.get(name, {})
    channels = shape[0]
    return build_classifier(
        name, shape, num_classes, mean=[0.4] * channels, std=[0.2] * channels, seed=seed, options=options
    )


@pytest.mark.parametrize(
    ("name", "shape", "parameters", "features"),
    [
        ("cnn", (1, 28, 28), 14_070, 50),
        ("fcn", (1, 28, 28), 42_310, 50),
        ("resnet34", (3, 32, 32), 21_282_122, 512),
        ("googlenet", (3, 32, 32), 6_166_250, 1024),
        ("lenet", (1, 28, 28), 44_426, 84),
        ("linear", (1, 28, 28), 7_850, 784),
    ],
)
def test_sizes_are_the_published_ones(name, shape, parameters, features):
    """karimi2020.md 1.6 for DeepDIG's four; the classic LeNet-5 (ReLU) count for lenet."""
    classifier = build(name, shape)
    assert sum(parameter.numel() for parameter in classifier.parameters()) == parameters
    assert classifier.head.in_features == features


@pytest.mark.parametrize("name", list(ARCHITECTURES))
@pytest.mark.parametrize("activation", ["relu", "softplus", "silu", "gelu"])
def test_forward_is_head_of_features_of_normalised_pixels(name, activation):
    classifier = build(name, activation=activation).eval()
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    logits = classifier(x)
    assert logits.shape == (2, 10)
    assert torch.equal(logits, classifier.head(classifier.features(x)))
    torch.testing.assert_close(classifier.features(x), classifier.body((x - 0.4) / 0.2))


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name != "linear"])
def test_a_last_hidden_layer_of_any_width_goes_on_any_architecture(name):
    options = {"activation": "relu"} | OWN.get(name, {})
    normal = {"mean": [0.4] * 3, "std": [0.2] * 3, "seed": 0}
    plain = build_classifier(name, (3, 32, 32), 10, **normal, options=options)
    wide = build_classifier(name, (3, 32, 32), 10, **normal, options=options, feature_dim=7, init="kaiming")
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    features = wide.eval().features(x)
    assert features.shape == (2, 7)
    assert bool((features >= 0).all())
    assert wide.head.in_features == 7
    inside = plain.head.in_features
    added = (inside + 1) * 7 + (7 + 1) * 10 - (inside + 1) * 10
    sizes = [sum(parameter.numel() for parameter in network.parameters()) for network in (plain, wide)]
    assert sizes[1] - sizes[0] == added


@pytest.mark.parametrize(
    ("activation", "of_features", "expected"),
    [
        ("softsign", None, nn.functional.softsign),
        ("relu", "leaky_relu", nn.functional.leaky_relu),
        ("relu", "none", lambda x: x),
    ],
)
def test_the_last_hidden_layer_has_an_activation_of_its_own_or_none(activation, of_features, expected):
    options = {"widths": [5], "activation": activation}
    normal = {"mean": [0.0], "std": [1.0], "seed": 0}
    network = build_classifier(
        "mlp", (1, 1, 2), 2, **normal, options=options, feature_dim=4, feature_activation=of_features
    )
    x = torch.rand(20, 1, 1, 2, generator=torch.Generator().manual_seed(0))
    assert type(network.body[0][-1]) is {"softsign": nn.Softsign, "relu": nn.ReLU}[activation]
    torch.testing.assert_close(network.features(x), expected(network.body[2](network.body[0](x))))


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_initial_weights_are_a_function_of_the_seed(name):
    first, again, other = build(name, seed=3), build(name, seed=3), build(name, seed=4)
    pairs = zip(first.parameters(), again.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not torch.equal(first.head.weight, other.head.weight)
    assert all(module.training for module in first.modules())


@pytest.mark.parametrize("name", list(ARCHITECTURES))
@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 1, 2)])
def test_small_images_work_or_are_refused_in_a_line(name, shape):
    try:
        classifier = build(name, shape, num_classes=2).eval()
    except UsageError as error:
        assert f"arch={name}: images of {'x'.join(map(str, shape))} are too small for it" in str(error)
        assert name not in ("mlp", "fcn", "linear")
    else:
        assert classifier(torch.zeros(3, *shape)).shape == (3, 2)


def test_a_setting_that_the_architecture_does_not_take_is_named():
    with pytest.raises(UsageError, match=r"arch\.widths: arch=lenet has no such setting"):
        build_classifier("lenet", (1, 28, 28), 10, mean=[0], std=[1], seed=0, options={"widths": [3]})
