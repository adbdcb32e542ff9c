"""The networks of li2018's authors by their parameter counts, the activations, and networks without biases."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bdry.models import build_classifier
from bdry.models.classifier import ACTIVATIONS

NORMAL = {"mean": [0.0], "std": [1.0], "seed": 0}


@pytest.mark.parametrize(
    ("name", "shape", "num_classes", "parameters"),
    [
        ("densenet40", (1, 28, 28), 3, 1_015_851),
        ("densenet40", (3, 32, 32), 2, 1_018_824),
        ("bottleneck29", (1, 28, 28), 2, 321_824),
    ],
)
def test_sizes_are_those_of_the_authors_checkpoints(name, shape, num_classes, parameters):
    network = build_classifier(name, shape, num_classes, **NORMAL, options={"activation": "relu"}, feature_dim=2)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert network.eval()(torch.zeros(2, *shape)).shape == (2, num_classes)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("tanh", torch.tanh), ("selu", nn.functional.selu), ("square", lambda x: x * x)],
)
def test_the_authors_activations(name, expected):
    x = torch.linspace(-3, 3, 50)
    torch.testing.assert_close(ACTIVATIONS[name]()(x), expected(x))


@pytest.mark.parametrize(
    ("name", "options", "depth"),
    [("mlp", {"widths": [8, 5], "activation": "relu"}, 3), ("plaincnn", {"activation": "relu"}, 6)],
)
def test_a_network_without_biases_is_homogeneous_in_its_weights(name, options, depth):
    network = build_classifier(name, (1, 8, 8), 3, **NORMAL, options=options, bias=False)
    assert not [key for key in network.state_dict() if key.endswith("bias")]
    assert torch.equal(network.head_bias, torch.zeros(3))
    x = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    before = network(x)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1.5)
    torch.testing.assert_close(network(x), before * 1.5**depth)


def test_its_other_weights_are_those_of_the_network_with_biases():
    with_biases, without = (
        build_classifier("densenet40", (1, 28, 28), 3, **NORMAL, options={"activation": "relu"}, bias=bias)
        for bias in (True, False)
    )
    kept = without.state_dict()
    assert len(kept) < len(with_biases.state_dict())
    assert all(torch.equal(with_biases.state_dict()[key], value) for key, value in kept.items())
    assert without.eval()(torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))).isfinite().all()
