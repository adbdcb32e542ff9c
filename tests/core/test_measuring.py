"""Logits in float64: the model's own steps without their rounding, and a model that is left as it was."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bdry.core.measuring import logits_in_float64
from bdry.models import build_classifier

X = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["plaincnn", "resnet18"])
def test_a_network_is_its_double(name):
    model = build_classifier(name, (1, 8, 8), 3, mean=[0.5], std=[0.25], seed=0, options={"activation": "relu"})
    model.eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    found = logits_in_float64(model, X)
    assert found.dtype == torch.float64
    assert model.state_dict().keys() == before.keys()
    assert all(
        value.dtype == before[key].dtype and torch.equal(value, before[key])
        for key, value in model.state_dict().items()
    )
    torch.testing.assert_close(found, model.double()(X.double()), rtol=1e-12, atol=1e-12)


def test_constants_dtypes_and_casts_follow():
    w = torch.linspace(0, 1, 64)

    def model(z):
        out = torch.zeros(len(z), 2, dtype=torch.float32)
        out[:, 0] = z.float().flatten(1).to(torch.float32) @ w
        return out + torch.ones(2)

    found = logits_in_float64(model, X)
    assert torch.equal(found[:, 0], X.double().flatten(1) @ w.double() + 1)


class Keeps(nn.Module):
    """It holds on to what it has seen, and counts in a buffer."""

    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(2))
        self.last = torch.zeros(1)

    def forward(self, x):
        self.seen = self.seen + 1
        self.last = x.mean()
        return x.flatten(1)[:, :2] + self.seen


def test_what_a_module_holds_is_as_it_was():
    model = Keeps()
    seen, last = model.seen, model.last
    assert logits_in_float64(model, X).dtype == torch.float64
    assert model.seen is seen
    assert model.last is last


def test_where_there_are_none():
    def only_float32(z):
        if z.dtype != torch.float32:
            raise KeyError(z.dtype)
        return z.flatten(1)

    assert logits_in_float64(only_float32, X) is None
    assert logits_in_float64(lambda z: z.flatten(1), X.double()) is None
    assert logits_in_float64(lambda z: z.flatten(1) * torch.nan, X) is None
